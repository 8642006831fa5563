"""Command `list`: lists every version with its state and its roles in the rollout."""

import argparse
import sys
from pathlib import Path

from models.errors import PackageError
from service.api.rollout import Rollout
from service.repository import rollouts, scan
from service.repository.invalid_package import printed
from service.repository.verifier import read


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="", help="list only this model")


def run(arguments: argparse.Namespace, root: Path) -> int:
    """Prints a line per version: name, version, valid or the reason why not, and its roles in the rollout."""
    configuration = rollouts.read(root)
    for folder in scan.find_versions(root):
        name, version = folder.parent.name, folder.name
        if arguments.model in ("", name):
            line = [name, version, state(folder), *roles(configuration.of(name), version)]
            sys.stdout.write("\t".join(map(printed, line)) + "\n")
    return 0


def state(folder: Path) -> str:
    """Returns "valid" or the reason why not, without running the network, as `verify` and the service do."""
    try:
        read(folder)
    except PackageError as error:
        return f"invalid: {error}"
    return "valid"


def roles(rollout: Rollout, version: str) -> list[str]:
    """Returns the roles of a version in the rollout."""
    canary = rollout.canary
    share = f"canary {canary.percent:g} %" if canary and canary.version == version else ""
    versions = {"pinned": rollout.pinned, "former": rollout.former, "shadow": rollout.shadow}
    names = [role for role, other in versions.items() if other == version]
    return [*names, *filter(None, [share, "model unloaded" if rollout.unloaded else ""])]
