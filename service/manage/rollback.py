"""Command `rollback`: serves the previous version again."""

import argparse
import sys
from pathlib import Path

from service.manage.promote import served_version, valid_versions
from service.repository import rollouts


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model")


def run(arguments: argparse.Namespace, root: Path) -> int:
    """Changes the rollout. Raises CannotServe if there is no earlier version."""
    name, valid = arguments.model, valid_versions(root, arguments.model)
    changed = rollouts.change(
        root,
        name,
        lambda rollout: rollouts.roll_back(name, rollout, serving=served_version(root, name, rollout), valid=valid),
    )
    sys.stdout.write(f"{name} {changed.of(name).pinned} is served now\n")
    return 0
