"""Command `key`: creates an API key, with its lines for STRIATE_KEYS on standard output, itself on standard error."""

import argparse
import sys
from pathlib import Path
from typing import get_args

from service.security.api_keys import KeyScope, new_key


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="the key's id, which appears in the audit log: letters, digits, _ and -")
    parser.add_argument("--scopes", default="infer", help=f"comma-separated, of {', '.join(get_args(KeyScope))}")
    parser.add_argument("--rate", type=float, default=0.0, help="requests per second; 0 is no limit")


def run(arguments: argparse.Namespace, _: Path) -> int:
    """Prints only the key on standard error: Prometheus reads `2> metrics.key`. Raises InvalidSettings."""
    key, lines = new_key(arguments.name, arguments.scopes.split(","), rate_per_s=arguments.rate)
    sys.stdout.write(f"\n{lines}")
    sys.stderr.write(f"{key}\n")
    return 0
