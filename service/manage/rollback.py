"""Goes back to the version that served before."""

import argparse
import sys
from pathlib import Path

from service.manage.promote import serving, whole
from service.repository import rollouts


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model")


def run(given: argparse.Namespace, root: Path) -> int:
    """Raises CannotServe where there is no earlier version."""
    name, known = given.model, whole(root, given.model)
    changed = rollouts.change(
        root, name, lambda plan: rollouts.roll_back(name, plan, serving=serving(root, name, plan), valid=known)
    )
    sys.stdout.write(f"{name} {changed.of(name).pinned} serves from now on\n")
    return 0
