"""Lists every version: its state, and what the operator has said of it."""

import argparse
import sys
from pathlib import Path

from models.errors import PackageError
from service.repository import rollouts, scan
from service.repository.rollouts import Rollout
from service.repository.verifier import read


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="", help="of this model alone")


def run(given: argparse.Namespace, root: Path) -> int:
    """A line a version: name, version, sound or the reason why not, pinned or canary or shadow or former."""
    said = rollouts.read(root)
    for folder in scan.found(root):
        name, version = folder.parent.name, folder.name
        if given.model in ("", name):
            sys.stdout.write("\t".join([name, version, state(folder), *marks(said.of(name), version)]) + "\n")
    return 0


def state(folder: Path) -> str:
    """Whether the package is whole; only `verify` and the service run its network."""
    try:
        read(folder)
    except PackageError as error:
        return f"broken: {error}"
    return "whole"


def marks(plan: Rollout, version: str) -> list[str]:
    """What a plan says of a version."""
    share = f"canary {plan.canary.percent:g} %" if plan.canary and plan.canary.version == version else ""
    told = {"pinned": plan.pinned, "former": plan.former, "shadow": plan.shadow}
    named = [mark for mark, which in told.items() if which == version]
    return [*named, *filter(None, [share, "model unloaded" if plan.unloaded else ""])]
