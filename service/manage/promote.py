"""Pins a version, so that it serves; or gives it a share of the requests, or makes it a shadow."""

import argparse
import sys
from pathlib import Path

from models.errors import PackageError
from service.errors import CannotServe
from service.manage.list_models import marks
from service.repository import rollouts, scan
from service.repository.rollouts import CanaryRollout, Rollout
from service.repository.verifier import read


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model")
    parser.add_argument("version", help="'newest' unpins: the newest version that proves itself serves")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--canary", type=float, metavar="PERCENT", help="it answers this share of the requests, at random")
    how.add_argument("--shadow", action="store_true", help="it runs behind the answers and is compared")
    how.add_argument("--end", action="store_true", help="it is a canary or a shadow no more")


def run(given: argparse.Namespace, root: Path) -> int:
    """Raises PackageError where the version is not whole; CannotServe where it cannot be what is asked of it."""
    name, version = given.model, given.version
    beside = given.canary is not None or given.shadow or given.end
    if version == "newest" and beside:
        raise PackageError("A canary or a shadow is one version; 'newest' is none.")
    if version != "newest" and not given.end:
        if not (root / name / version).is_dir():
            raise PackageError(f"There is no {name} {version} in {root}.")
        read(root / name / version)
    if given.canary is not None and not 0 < given.canary <= 100:
        raise PackageError(f"--canary {given.canary:g}: a share is above 0 and at most 100 percent.")

    def edit(plan: Rollout) -> Rollout:
        serves = serving(root, name, plan)
        if not beside:
            return rollouts.promoted(plan, None if version == "newest" else version, serving=serves)
        if version == serves and not given.end:
            raise CannotServe(name, version, "it answers already; pin another version first")
        others = rollouts.without(plan, version)
        if given.canary is not None:
            return others.model_copy(update={"canary": CanaryRollout(version=version, percent=given.canary)})
        return others.model_copy(update={"shadow": version}) if given.shadow else others

    plan = rollouts.change(root, name, edit).of(name)
    said = (
        "the newest serves" if version == "newest" else ", ".join(marks(plan, version)) or "neither canary nor shadow"
    )
    sys.stdout.write(f"{name} {version}: {said}\n")
    return 0


def serving(root: Path, name: str, plan: Rollout) -> str | None:
    """The version that serves by the plan: the pinned one, else the newest that is whole."""
    return plan.pinned or next(iter(whole(root, name)), None)


def whole(root: Path, name: str) -> list[str]:
    """The versions of a model whose digests are right, newest first."""
    found = []
    for folder in scan.newest_first(folder for folder in scan.found(root) if folder.parent.name == name):
        try:
            found.append(read(folder).spec.version)
        except PackageError:
            continue
    return found
