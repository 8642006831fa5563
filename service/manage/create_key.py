"""Makes an API key: its lines for STRIATE_KEYS on standard output, the key itself, once, on standard error."""

import argparse
import sys
from pathlib import Path
from typing import get_args

from service.security.api_keys import KeyScope, new_key


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="the key's id, which stands in the audit log: letters, digits, _ and -")
    parser.add_argument("--scopes", default="infer", help=f"comma-separated, of {', '.join(get_args(KeyScope))}")
    parser.add_argument("--rate", type=float, default=0.0, help="requests a second; 0 is no limit")


def run(given: argparse.Namespace, _: Path) -> int:
    """Raises InvalidSettings. Nothing else goes to standard error: `2> metrics.key` is what Prometheus reads."""
    key, lines = new_key(given.name, given.scopes.split(","), rate_per_s=given.rate)
    sys.stdout.write(f"\n{lines}")
    sys.stderr.write(f"{key}\n")
    return 0
