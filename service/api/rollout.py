"""Rollouts as an operator writes them: which version of a model serves, and which beside it."""

from typing import Annotated

from pydantic import Field

from models.closed import Closed
from models.spec import Name, Version


class CanaryRollout(Closed):
    """Another version that answers a share of the requests."""

    version: Version
    percent: Annotated[float, Field(gt=0, le=100)]


class Rollout(Closed):
    """The rollout of one model.

    pinned: the version that serves; None takes the newest valid one. former: the version that a rollback returns to.
    shadow: a version that runs and is compared, but never answers. unloaded: no version serves.
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
