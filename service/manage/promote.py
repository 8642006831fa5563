"""Command `promote`: pins a version, or makes it a canary or a shadow."""

import argparse
import sys
from pathlib import Path

from models.errors import PackageError
from service.api.rollout import CanaryRollout, Rollout
from service.manage.list_models import roles
from service.repository import rollouts, scan
from service.repository.errors import CannotServe
from service.repository.verifier import read


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model")
    parser.add_argument("version", help="'newest' unpins: the newest valid version is served")
    role = parser.add_mutually_exclusive_group()
    role.add_argument("--canary", type=float, metavar="PERCENT", help="serve this share of the requests")
    role.add_argument("--shadow", action="store_true", help="run after each response, and compare")
    role.add_argument("--end", action="store_true", help="end its role as canary or shadow")


def run(arguments: argparse.Namespace, root: Path) -> int:
    """Changes the rollout. Raises PackageError if the version is invalid; CannotServe if it cannot take the role."""
    name, version = arguments.model, arguments.version
    is_companion = arguments.canary is not None or arguments.shadow or arguments.end
    if version == "newest" and is_companion:
        raise PackageError("A canary or a shadow needs a version number, not 'newest'.")
    if version != "newest" and not arguments.end:
        if not (root / name / version).is_dir():
            raise PackageError(f"There is no {name} {version} in {root}.")
        read(root / name / version)
    if arguments.canary is not None and not 0 < arguments.canary <= 100:
        raise PackageError(f"--canary {arguments.canary:g}: the share must be above 0 and at most 100 percent.")

    def edit(rollout: Rollout) -> Rollout:
        served = served_version(root, name, rollout)
        if not is_companion:
            return rollouts.promote(rollout, None if version == "newest" else version, serving=served)
        if version == served and not arguments.end:
            raise CannotServe(f"{name} {version} already serves; pin another version first")
        detached = rollouts.detach(rollout, version)
        if arguments.canary is not None:
            return detached.model_copy(update={"canary": CanaryRollout(version=version, percent=arguments.canary)})
        return detached.model_copy(update={"shadow": version}) if arguments.shadow else detached

    rollout = rollouts.change(root, name, edit).of(name)
    message = (
        "the newest version is served"
        if version == "newest"
        else ", ".join(roles(rollout, version)) or "neither canary nor shadow"
    )
    sys.stdout.write(f"{name} {version}: {message}\n")
    return 0


def served_version(root: Path, name: str, rollout: Rollout) -> str | None:
    """Returns the version that the rollout serves: the pinned one, else the newest valid one."""
    return rollout.pinned or next(iter(valid_versions(root, name)), None)


def valid_versions(root: Path, name: str) -> list[str]:
    """Returns the versions of a model with correct digests, newest first."""
    versions = []
    for folder in scan.newest_first(folder for folder in scan.find_versions(root) if folder.parent.name == name):
        try:
            versions.append(read(folder).spec.version)
        except PackageError:
            continue
    return versions
