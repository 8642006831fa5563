"""Command `audit verify audit.jsonl`: checks the audit log for lines that were removed, added or changed."""

import argparse
import sys
from pathlib import Path

from service.security.audit_chain import BrokenChain, ChainLink, LineRange
from service.security.audit_verification import verify


def options(parser: argparse.ArgumentParser) -> None:
    command = parser.add_subparsers(required=True, metavar="verify").add_parser("verify", help="checks the hash chain")
    command.add_argument("path", type=Path, help="the file of STRIATE_AUDIT; rotated files beside it are read too")
    command.add_argument(
        "--first", type=int, default=1, help="number of the first line, if older files were moved away"
    )
    command.add_argument(
        "--lost", type=_range, action="append", default=[], metavar="FIRST-LAST",
        help="lines that the log records as lost, and whose loss is known; may be repeated",
    )  # fmt: skip
    command.add_argument("--anchor", type=_anchor, help="NUMBER:SHA256 of a line, as printed by an earlier check")


def run(arguments: argparse.Namespace, _: Path) -> int:
    """Prints the number and digest of the last line; returns 1 if lines were changed, or lost and not in --lost."""
    try:
        last = verify(arguments.path, first=arguments.first, anchor=arguments.anchor, known_lost=arguments.lost)
    except BrokenChain as error:
        sys.stderr.write(f"striate: {error}\n")
        return 1
    sys.stdout.write(f"OK: hash chain intact. Store this anchor elsewhere: {last.number}:{last.sha256}\n")
    return 0


def _range(text: str) -> LineRange:
    first, _, last = text.partition("-")
    return int(first), int(last)


def _anchor(text: str) -> ChainLink:
    number, _, digest = text.partition(":")
    return ChainLink(int(number), digest)
