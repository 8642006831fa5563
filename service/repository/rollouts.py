"""Rollouts: the operator's configuration of each model, kept in `.striate.json` in the repository's root."""

import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from models.errors import PackageError
from models.package_files import read_file
from models.spec import ModelSpec
from service.api.rollout import Rollout, Rollouts
from service.repository.errors import CannotServe, InvalidRollouts

FILE = ".striate.json"
_MAX_BYTES = 2**20


def promote(rollout: Rollout, version: str | None, *, serving: str | None) -> Rollout:
    """Returns the rollout that serves `version`, or the newest if None; a rollback returns to `serving`."""
    former = rollout.former if serving == version else serving
    return detach(rollout, version).model_copy(update={"pinned": version, "former": former})


def detach(rollout: Rollout, version: str | None) -> Rollout:
    """Returns the rollout without this version as canary or shadow."""
    canary = None if rollout.canary and rollout.canary.version == version else rollout.canary
    shadow = None if rollout.shadow == version else rollout.shadow
    return rollout.model_copy(update={"canary": canary, "shadow": shadow})


def roll_back(name: str, rollout: Rollout, *, serving: str | None, valid: Sequence[str]) -> Rollout:
    """Returns the rollout that serves the former version again, or else the next older one.

    valid: the valid versions, newest first. Raises CannotServe.
    """
    older = valid[valid.index(serving) + 1 :] if serving in valid else valid
    target = rollout.former or next(iter(older), None)
    if target is None:
        raise CannotServe(f"{name} has no earlier version to roll back to")
    return promote(rollout, target, serving=serving)


def incompatibility(served: ModelSpec, other: ModelSpec) -> str:
    """Returns the reason why another version cannot replace the served one; empty if it can."""
    if served.task != other.task:
        return f"its task is {other.task}, but the served version {served.version} performs {served.task}"
    if served.cam and not other.cam:
        return f"it has no class activation maps, but the served version {served.version} has"
    return ""


def read(root: Path) -> Rollouts:
    """Reads the file; a missing one is empty. Raises InvalidRollouts."""
    try:
        return Rollouts.model_validate_json(read_file(root / FILE, limit=_MAX_BYTES))
    except PackageError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return Rollouts()
        raise InvalidRollouts(str(error)) from error
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidRollouts(f"{FILE}: {'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}.") from error


def change(root: Path, name: str, edit: Callable[[Rollout], Rollout]) -> Rollouts:
    """Replaces one model's rollout atomically; concurrent changes wait for each other.

    Raises InvalidRollouts, OSError.
    """
    with _locked(root):
        current = read(root)
        models = {**current.models, name: edit(current.of(name))}
        changed = Rollouts(revision=current.revision + 1, models=models)
        _write(root, changed)
        return changed


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    folder = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _write(root: Path, rollouts: Rollouts) -> None:
    text = json.dumps(rollouts.model_dump(mode="json", exclude_defaults=True), indent=2) + "\n"
    descriptor, draft = tempfile.mkstemp(dir=root, prefix=FILE)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        Path(draft).chmod(0o644)  # mkstemp's default is for its owner only, and the service may be another user
        os.replace(draft, root / FILE)
    except OSError:
        Path(draft).unlink(missing_ok=True)
        raise
