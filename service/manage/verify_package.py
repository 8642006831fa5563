"""Proves packages: their digests, and that their networks reproduce their test outputs here."""

import argparse
import sys
from functools import partial
from pathlib import Path

from models.errors import StriateError
from models.package import Package
from service.inference import Session, open_session
from service.repository import scan, verifier


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "packages", nargs="*", type=Path, help="folders <name>/<version>; all of STRIATE_MODELS by default"
    )
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="where the networks run")


def run(given: argparse.Namespace, root: Path) -> int:
    """A line a package; 1 where one cannot be proved, or there is none."""
    every = given.packages or list(scan.find_versions(root))
    proved = [_proved(folder.resolve(), given.device) for folder in every]
    return 0 if every and all(proved) else 1


def session(device: str, package: Package) -> Session:
    """On one thread: a proof needs no more."""
    return open_session(package.network(), device=device, precision=package.spec.precision)  # type: ignore[arg-type]


def _proved(folder: Path, device: str) -> bool:
    which = f"{folder.parent.name} {folder.name}"
    try:
        package, opened = verifier.read_verified(folder, open_session=partial(session, device))
    except StriateError as error:
        sys.stdout.write(f"{which}: {error}\n")
        return False
    sys.stdout.write(f"{which}: proved on {opened.provider}, sha256 {package.sha256}\n")
    return True
