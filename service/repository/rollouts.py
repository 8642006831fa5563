"""What the operator has said of each model, in `.striate.json` in the repository's root: a restart keeps it."""

import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from models.closed import Closed
from models.spec import Name, Version
from service.errors import CannotServe, InvalidRollouts

FILE = ".striate.json"


class CanaryRollout(Closed):
    """Another version that answers a share of the requests."""

    version: Version
    percent: Annotated[float, Field(gt=0, le=100)]


class Rollout(Closed):
    """One model. pinned: the version that serves; None takes the newest that proves itself.

    former: what a rollback goes back to. shadow: a version that runs, is compared, and never answers. unloaded: nothing
    of it serves.
    """

    pinned: Version | None = None
    former: Version | None = None
    canary: CanaryRollout | None = None
    shadow: Version | None = None
    unloaded: bool = False


class Rollouts(Closed):
    """The whole file. revision: one more with each change, so that who made one knows when it has been followed."""

    revision: Annotated[int, Field(ge=0)] = 0
    models: dict[Name, Rollout] = Field(default_factory=dict)

    def of(self, name: str) -> Rollout:
        return self.models.get(name, Rollout())


def promoted(plan: Rollout, version: str | None, *, serving: str | None) -> Rollout:
    """The plan by which `version` serves, or the newest for None; what serves now is what a rollback goes back to."""
    former = plan.former if serving == version else serving
    return without(plan, version).model_copy(update={"pinned": version, "former": former})


def without(plan: Rollout, version: str | None) -> Rollout:
    """The plan in which this version is neither canary nor shadow."""
    canary = None if plan.canary and plan.canary.version == version else plan.canary
    shadow = None if plan.shadow == version else plan.shadow
    return plan.model_copy(update={"canary": canary, "shadow": shadow})


def rolled_back(name: str, plan: Rollout, *, serving: str | None, known: Sequence[str]) -> Rollout:
    """The plan by which the version that served before does so again: the former one, else the next older.

    known: the sound versions, newest first. Raises CannotServe.
    """
    older = known[known.index(serving) + 1 :] if serving in known else known
    back = plan.former or next(iter(older), None)
    if back is None:
        raise CannotServe(name, "in an earlier version", "there is none")
    return promoted(plan, back, serving=serving)


def read(root: Path) -> Rollouts:
    """Raises BadPlans."""
    try:
        return Rollouts.model_validate_json((root / FILE).read_bytes())
    except FileNotFoundError:
        return Rollouts()
    except OSError as error:
        raise InvalidRollouts(f"{FILE} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidRollouts(f"{FILE}: {'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}.") from error


def change(root: Path, name: str, edit: Callable[[Rollout], Rollout]) -> Rollouts:
    """Replaces one model's plan in one step; who changes another at the same time waits. Raises BadPlans, OSError."""
    with _alone(root):
        plans = read(root)
        models = {**plans.models, name: edit(plans.of(name))}
        changed = Rollouts(revision=plans.revision + 1, models=models)
        _write(root, changed)
        return changed


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    folder = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _write(root: Path, plans: Rollouts) -> None:
    text = json.dumps(plans.model_dump(mode="json", exclude_defaults=True), indent=2) + "\n"
    descriptor, draft = tempfile.mkstemp(dir=root, prefix=FILE)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        Path(draft).chmod(0o644)  # mkstemp's is for its owner alone, and the service may be another user
        os.replace(draft, root / FILE)
    except OSError:
        Path(draft).unlink(missing_ok=True)
        raise
