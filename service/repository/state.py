"""Which models serve, and who answers a request: one state of the repository, which is replaced whole."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Literal, Protocol

from models.image import Array
from models.package import Package
from models.spec import ModelSpec
from service.errors import NotReady, UnknownModel, UnknownVersion, WrongTask
from service.repository.rollouts import Rollout, Rollouts
from service.scheduling.batcher import Batcher
from service.scheduling.deadline import Deadline
from service.scheduling.work_item import InferenceResult, Priority
from service.telemetry.model_statistics import Counted, Statistics

Task = Literal["classification", "segmentation"]


class Queue(Protocol):
    """What is in front of a network: a batcher in this process, or the way to one in the engine process."""

    @property
    def depth(self) -> int: ...

    @property
    def loaded(self) -> bool:
        """Whether the network is in memory; if not, the next who asks waits until it is."""

    def at_hand(self) -> Batcher | None:
        """The batcher, where it is in this process and its network in memory: who is alone may run it at once."""

    async def submit(
        self,
        tensor: Array,
        outputs: Sequence[str],
        *,
        deadline: Deadline,
        priority: Priority = Priority.INTERACTIVE,
        admitted: bool = False,
    ) -> InferenceResult:
        """As Batcher.submit."""

    def close(self) -> None: ...

    async def leave(self) -> None:
        """close, without holding up the event loop."""


class Use:
    """How many are at work with a version."""

    def __init__(self) -> None:
        self._count = 0
        self._ended: asyncio.Future[None] | None = None

    def __enter__(self) -> None:
        self._count += 1

    def __exit__(self, *_: object) -> None:
        self._count -= 1
        if not self._count and self._ended and not self._ended.done():
            self._ended.set_result(None)

    async def ended(self) -> None:
        """Waits until nobody is; whoever begins meanwhile is waited for too."""
        while self._count:
            self._ended = asyncio.get_running_loop().create_future()
            await self._ended


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A verified package, its network on a device, and the queue in front of it.

    nbytes: what it counts against the budget of loaded models: its weights' file.
    """

    package: Package
    provider: str
    batcher: Queue
    nbytes: int = 0
    statistics: Statistics = field(default_factory=Statistics)
    use: Use = field(default_factory=Use)

    @property
    def spec(self) -> ModelSpec:
        return self.package.spec

    def request(self, started: float) -> Counted:
        """with model.request(perf_counter() at its arrival): counts it, and keeps this version until the block ends."""
        return _Begun(self, started)


class _Begun(Counted):
    __slots__ = ("_use",)

    def __init__(self, model: ServedModel, started: float) -> None:
        super().__init__(model.statistics, started)
        self._use = model.use

    def __enter__(self) -> None:
        self._use.__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        super().__exit__(kind, error, trace)
        self._use.__exit__()


@dataclass(frozen=True, slots=True)
class InvalidPackage:
    """A package folder that does not serve, and the sentence that says why."""

    name: str
    version: str
    reason: str


@dataclass(frozen=True, slots=True)
class InactivePackage:
    """A sound package that nobody asks to serve: another version does, or the operator has unloaded the model."""

    package: Package
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CanaryModel:
    """A version that answers `percent` of its model's requests."""

    model: ServedModel
    percent: float


@dataclass(frozen=True, slots=True)
class Repository:
    """served: the version of each model that answers, by the model's name. refused: every folder that proved unfit.

    wanted: names that the operator says must serve. A broken package beside them must not take the sound ones away.
    plans: what the operator's file said when this state was made.
    """

    served: dict[str, ServedModel] = field(default_factory=dict)
    refused: tuple[InvalidPackage, ...] = ()
    wanted: tuple[str, ...] = ()
    canaries: dict[str, CanaryModel] = field(default_factory=dict)
    shadows: dict[str, ServedModel] = field(default_factory=dict)
    spare: tuple[InactivePackage, ...] = ()
    plans: Rollouts = field(default_factory=Rollouts)

    def every(self) -> Iterator[ServedModel]:
        """Each version that has a queue, once: those that answer, canaries, shadows."""
        canaries = [canary.model for canary in self.canaries.values()]
        yield from {id(model): model for model in (*self.served.values(), *canaries, *self.shadows.values())}.values()

    def answering(self, name: str) -> tuple[ServedModel, ...]:
        """The versions of a model that answer: the one that serves, then its canary."""
        canary = self.canaries.get(name)
        return (self.served[name], *([canary.model] if canary else []))

    def missing(self) -> tuple[str, ...]:
        """The wanted models that do not serve."""
        return tuple(name for name in self.wanted if name not in self.served)

    def able(self, task: Task) -> tuple[str, ...]:
        return tuple(name for name, model in self.served.items() if model.spec.task == task)

    def get(self, name: str, *, caller: str = "") -> ServedModel:
        """The version that answers this caller: the canary, if its share falls on the request's id.

        Raises UnknownModel; NotReady where the model exists and does not serve.
        """
        if name not in self.served:
            raise self._absent(name)
        canary = self.canaries.get(name)
        return canary.model if canary and caller and place(name, caller) < canary.percent else self.served[name]

    def version(self, name: str, version: str) -> ServedModel:
        """The version asked for by its number, if it answers at all. Raises UnknownModel, UnknownVersion, NotReady."""
        self.get(name)
        known = self.answering(name)
        for model in known:
            if model.spec.version == version:
                return model
        raise UnknownVersion(version, model=name, served=[model.spec.version for model in known])

    def choose(self, name: str, *, task: Task, caller: str = "") -> ServedModel:
        """get; the model must do the task. Raises WrongTask besides."""
        model = self.get(name, caller=caller)
        if model.spec.task != task:
            raise WrongTask(name, task=model.spec.task, asked=task, able=self.able(task))
        return model

    def plan(self, name: str) -> Rollout:
        return self.plans.of(name)

    def with_statistics(self, known: Mapping[str, Statistics]) -> "Repository":
        """The same, but each version's statistics are those known by its digest."""
        told = {
            id(each): replace(each, statistics=known.get(each.package.sha256, each.statistics)) for each in self.every()
        }
        return replace(
            self,
            served={name: told[id(model)] for name, model in self.served.items()},
            canaries={
                name: CanaryModel(told[id(canary.model)], canary.percent) for name, canary in self.canaries.items()
            },
            shadows={name: told[id(model)] for name, model in self.shadows.items()},
        )

    def close(self) -> None:
        for model in self.every():
            model.batcher.close()

    def _absent(self, name: str) -> NotReady | UnknownModel:
        plan = self.plan(name)
        if any(spare.package.spec.name == name for spare in self.spare):
            pinned = f"it is pinned to {plan.pinned}, which is not there or was refused"
            why = "the operator has unloaded it" if plan.unloaded else pinned
            return NotReady(f"The model {name!r} does not serve: {why}.")
        reasons = [refused.reason for refused in self.refused if refused.name == name]
        if reasons:
            return NotReady(f"The model {name!r} does not serve: {reasons[0]}")
        return UnknownModel(name, served=self.served)


def differs(one: ModelSpec, other: ModelSpec) -> str:
    """Why another version cannot stand in for the one that serves; empty where it can."""
    if one.task != other.task:
        return f"it does {other.task}, and {one.version}, which serves, does {one.task}"
    if one.cam and not other.cam:
        return f"it has no class activation maps, and {one.version}, which serves, has"
    return ""


def place(name: str, caller: str) -> float:
    """Where a request stands between 0 and 100: always the same for one id, spread evenly over many."""
    return int.from_bytes(blake2b(f"{name}\n{caller}".encode(), digest_size=6).digest()) * 100 / 2**48


async def drain(former: Repository, now: Repository) -> None:
    """Frees what `now` has no more, as soon as the last request that began with it has ended."""
    stays = {id(model) for model in now.every()}
    leaving = [model for model in former.every() if id(model) not in stays]
    for model in leaving:
        await model.use.ended()
    for model in leaving:
        await model.batcher.leave()
