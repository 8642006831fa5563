"""Checks the audit log: `audit verify audit.jsonl` finds a line that was removed, added or changed."""

import argparse
import sys
from pathlib import Path

from service.security.audit_log import Broken, Last, verify


def options(parser: argparse.ArgumentParser) -> None:
    command = parser.add_subparsers(required=True, metavar="verify").add_parser("verify", help="finds any change")
    command.add_argument("path", type=Path, help="what STRIATE_AUDIT says; the renamed files beside it are read too")
    command.add_argument(
        "--first", type=int, default=1, help="the first line there is, where older files were moved away"
    )
    command.add_argument("--anchor", type=_anchor, help="NUMBER:SHA256 of a line, as an earlier run printed it")


def run(given: argparse.Namespace, _: Path) -> int:
    """The last line's number and digest; 1 where the log is not what was written."""
    try:
        last = verify(given.path, first=given.first, anchor=given.anchor)
    except Broken as error:
        sys.stderr.write(f"striate: {error}\n")
        return 1
    sys.stdout.write(f"whole; note the last line somewhere else: {last.number}:{last.sha256}\n")
    return 0


def _anchor(text: str) -> Last:
    number, _, digest = text.partition(":")
    return Last(int(number), digest)
