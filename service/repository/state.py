"""Repository state: an immutable snapshot of the served models, which chooses the version for each request."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

from models.package import Package
from models.spec import ModelSpec, TaskKind
from service.api.rollout import Rollout, Rollouts
from service.errors import NotReady
from service.inference.activation_memory import MOST_TILE_PX
from service.repository.errors import UnknownModel, UnknownVersion, WrongTask
from service.repository.invalid_package import InvalidPackage
from service.scheduling.scheduler import Network
from service.telemetry.model_metrics import Statistics


class ModelBatcher(Network, Protocol):
    """The batcher in front of a version's network, in this process or in the engine process."""

    @property
    def depth(self) -> int: ...

    @property
    def loaded(self) -> bool:
        """Whether the network is in memory; if not, the next request waits until it is loaded."""

    def close(self) -> None: ...

    async def aclose(self) -> None:
        """Closes without blocking the event loop."""


class UseCounter:
    """The number of requests that use a version."""

    def __init__(self) -> None:
        self._count = 0
        self._unused: asyncio.Future[None] | None = None

    def __enter__(self) -> None:
        self._count += 1

    def __exit__(self, *_: object) -> None:
        self._count -= 1
        if not self._count and self._unused and not self._unused.done():
            self._unused.set_result(None)

    async def wait_until_unused(self) -> None:
        """Waits until the count is zero, including requests that begin meanwhile."""
        while self._count:
            self._unused = asyncio.get_running_loop().create_future()
            await self._unused


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A verified package, its network on a device, and the batcher in front of it.

    nbytes: the size of its weights, which counts against the budget of loaded models. largest_tile: in px; larger
    ones would not fit into the memory.
    """

    package: Package
    provider: str
    batcher: ModelBatcher
    nbytes: int = 0
    statistics: Statistics = field(default_factory=Statistics)
    use: UseCounter = field(default_factory=UseCounter)
    largest_tile: int = MOST_TILE_PX

    @property
    def spec(self) -> ModelSpec:
        return self.package.spec

    def request(self, started: float) -> "ServedRequest":
        """Returns a context manager that counts a request and keeps this version loaded until its block ends.

        started: perf_counter() at the request's arrival.
        """
        return ServedRequest(self, started)


class ServedRequest:
    """A request to one version: a class, since a generator's context manager takes four times as long."""

    __slots__ = ("_model", "_started")

    def __init__(self, model: ServedModel, started: float) -> None:
        self._model, self._started = model, started

    def __enter__(self) -> None:
        self._model.use.__enter__()

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._model.statistics.add_request(self._started, failed=error is not None)
        self._model.use.__exit__()


@dataclass(frozen=True, slots=True)
class InactivePackage:
    """A valid package that is not in use: another version serves, or the operator unloaded the model."""

    package: Package
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CanaryModel:
    """A version that serves `percent` of its model's requests."""

    model: ServedModel
    percent: float


@dataclass(frozen=True, slots=True)
class Repository:
    """The state of all models at one moment.

    served: the live version of each model, by the model's name. invalid: the folders that cannot be served, which do
    not affect the others. wanted: names of the models without which the service is not ready. rollouts: the operator's
    configuration on which this state is based. absence: why the folder of the packages cannot be read; while it is
    away, what was loaded goes on serving.
    """

    served: dict[str, ServedModel] = field(default_factory=dict)
    invalid: tuple[InvalidPackage, ...] = ()
    wanted: tuple[str, ...] = ()
    canaries: dict[str, CanaryModel] = field(default_factory=dict)
    shadows: dict[str, ServedModel] = field(default_factory=dict)
    inactive: tuple[InactivePackage, ...] = ()
    rollouts: Rollouts = field(default_factory=Rollouts)
    absence: str = ""

    def all_models(self) -> Iterator[ServedModel]:
        """Yields each version that has a batcher once: live versions, canaries and shadows."""
        canaries = [canary.model for canary in self.canaries.values()]
        yield from {id(model): model for model in (*self.served.values(), *canaries, *self.shadows.values())}.values()

    def loaded_from(self, folder: Path) -> ServedModel | None:
        """Returns the version that was loaded from this folder, whatever the folder holds now."""
        return next((model for model in self.all_models() if model.package.folder == folder), None)

    def loaded_copy(self, package: Package) -> ServedModel | None:
        """Returns the version with the same digest."""
        return next((model for model in self.all_models() if model.package.sha256 == package.sha256), None)

    def live_versions(self, name: str) -> tuple[ServedModel, ...]:
        """Returns the versions of a model that answer requests: the served one, then its canary."""
        canary = self.canaries.get(name)
        return (self.served[name], *([canary.model] if canary else []))

    def missing(self) -> tuple[str, ...]:
        """Returns the wanted models that are not served."""
        return tuple(name for name in self.wanted if name not in self.served)

    def able(self, task: TaskKind) -> tuple[str, ...]:
        return tuple(name for name, model in self.served.items() if model.spec.task == task)

    def get(self, name: str, *, caller: str = "") -> ServedModel:
        """Returns the version that answers this caller: the canary, if the request id falls into its share.

        Raises UnknownModel; NotReady if the model exists but is not served.
        """
        if name not in self.served:
            raise self._unavailable(name)
        canary = self.canaries.get(name)
        return canary.model if canary and caller and canary_bucket(name, caller) < canary.percent else self.served[name]

    def version(self, name: str, version: str) -> ServedModel:
        """Returns the live version with this number. Raises UnknownModel, UnknownVersion, NotReady."""
        self.get(name)
        live = self.live_versions(name)
        for model in live:
            if model.spec.version == version:
                return model
        raise UnknownVersion(version, model=name, served=[model.spec.version for model in live])

    def choose(self, name: str, *, task: TaskKind, caller: str = "") -> ServedModel:
        """Returns the version as `get` does. Raises WrongTask too if the model performs another task."""
        model = self.get(name, caller=caller)
        if model.spec.task != task:
            raise WrongTask(name, task=model.spec.task, asked=task, able=self.able(task))
        return model

    def rollout(self, name: str) -> Rollout:
        return self.rollouts.of(name)

    def with_statistics(self, statistics: Mapping[str, Statistics]) -> "Repository":
        """Returns this state with other statistics, given by package digest."""
        models = {
            id(model): replace(model, statistics=statistics.get(model.package.sha256, model.statistics))
            for model in self.all_models()
        }
        return replace(
            self,
            served={name: models[id(model)] for name, model in self.served.items()},
            canaries={
                name: CanaryModel(models[id(canary.model)], canary.percent) for name, canary in self.canaries.items()
            },
            shadows={name: models[id(model)] for name, model in self.shadows.items()},
        )

    def close(self) -> None:
        for model in self.all_models():
            model.batcher.close()

    def _unavailable(self, name: str) -> NotReady | UnknownModel:
        rollout = self.rollout(name)
        if any(inactive.package.spec.name == name for inactive in self.inactive):
            pinned = f"it is pinned to version {rollout.pinned}, which is missing or invalid"
            reason = "the operator has unloaded it" if rollout.unloaded else pinned
            return NotReady(f"The model {name!r} is not served: {reason}.")
        reasons = [invalid.reason for invalid in self.invalid if invalid.name == name]
        if reasons:
            return NotReady(f"The model {name!r} is not served: {reasons[0]}")
        return UnknownModel(name, served=self.served)


class CurrentState:
    """The state that requests see, replaced as a whole, so that each sees one consistent state.

    known: None until the packages have been verified and warmed up; unknown_because: says why.
    """

    def __init__(self) -> None:
        self.known: Repository | None = None
        self.unknown_because = "The models are still being loaded."

    @property
    def current(self) -> Repository:
        """Raises NotReady."""
        if self.known is None:
            raise NotReady(self.unknown_because)
        return self.known


def canary_bucket(name: str, caller: str) -> float:
    """Returns a number in [0, 100) for a request id: constant for each id and uniform over many."""
    return int.from_bytes(blake2b(f"{name}\n{caller}".encode(), digest_size=6).digest()) * 100 / 2**48
