"""Command `verify`: checks the digests of packages, and that their networks reproduce their test outputs."""

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
        "packages", nargs="*", type=Path, help="folders <name>/<version>; default: all in STRIATE_MODELS"
    )
    parser.add_argument(
        "--device", choices=["auto", "cpu", "cuda"], default="auto", help="device that runs the networks"
    )


def run(arguments: argparse.Namespace, root: Path) -> int:
    """Prints a line per package; returns 1 if one is invalid, or if there is none."""
    folders = arguments.packages or list(scan.find_versions(root))
    results = [_verify(folder.resolve(), arguments.device) for folder in folders]
    return 0 if folders and all(results) else 1


def session(device: str, package: Package) -> Session:
    """Opens the package's network on one thread."""
    return open_session(package.network(), device=device, precision=package.spec.precision)  # type: ignore[arg-type]


def _verify(folder: Path, device: str) -> bool:
    label = f"{folder.parent.name} {folder.name}"
    try:
        package, network = verifier.read_verified(folder, open_session=partial(session, device))
    except StriateError as error:
        sys.stdout.write(f"{label}: {error}\n")
        return False
    sys.stdout.write(f"{label}: verified on {network.provider}, sha256 {package.sha256}\n")
    return True
