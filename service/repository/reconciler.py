"""Keeps what serves equal to what lies in the folder and what the operator said of it, one change after another."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from models.errors import PackageError, StriateError
from models.package import Package
from service.errors import InvalidRollouts
from service.inference import Session
from service.repository import rollouts, scan
from service.repository.model_cache import CachedNetwork, ModelCache
from service.repository.rollouts import Rollouts
from service.repository.scan import Stamp
from service.repository.startup_message import log_changes
from service.repository.state import (
    CanaryModel,
    InactivePackage,
    InvalidPackage,
    Repository,
    ServedModel,
    differs,
    drain,
)
from service.repository.verifier import OpenSession, prepared, prove, read
from service.repository.watch import watch
from service.scheduling.batcher import Batcher
from service.telemetry.log import log

OpenBatcher = Callable[[Session], Batcher]
Publish = Callable[[Repository], Awaitable[None]]
T = TypeVar("T")
_AWAY_S, _GLANCE_S = 0.5, 0.05  # a folder is away for a moment where another one is put in its place


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How packages become models. length: items that may wait or run. limit_bytes: of all loaded weights together.

    rescan_s: how often one looks where the system does not tell of changes.
    """

    root: Path
    open_session: OpenSession
    open_batcher: OpenBatcher
    length: int
    wanted: tuple[str, ...] = ()
    limit_bytes: float = math.inf
    rescan_s: float = 10.0


class Reconciler:
    """Owns the networks of this process. Nothing that serves is taken away before its successor has proved itself."""

    def __init__(self, loading: LoadOptions, *, publish: Publish) -> None:
        """publish: makes a new state the one that answers; awaited before what it replaces is drained."""
        self.repository = Repository(wanted=loading.wanted)
        self.budget = ModelCache(loading.limit_bytes)
        self._loading, self._publish = loading, publish
        # With an empty stamp where it is to be judged again at the next look.
        self._judged: dict[Path, tuple[Stamp, ServedModel | InactivePackage | InvalidPackage]] = {}
        self._turn, self._nudged = asyncio.Lock(), asyncio.Event()
        self._trouble = ""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="loader")
        self._draining: dict[asyncio.Task[None], Repository] = {}
        self._seen: tuple[dict[Path, Stamp], Rollouts] | None = None

    @property
    def draining(self) -> int:
        """Changes of which what they replaced is not free yet."""
        return len(self._draining)

    def look(self) -> None:
        """Has run() look at once: whoever knows of a change need not wait until the system tells of it."""
        self._nudged.set()

    async def run(self) -> None:
        """Follows every change until it is cancelled; what cannot be read is logged, and tried again."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(watch(self._loading.root, self.look))
            while True:
                self._nudged.clear()
                await self._try()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._loading.rescan_s):
                        await self._nudged.wait()

    async def _try(self) -> None:
        try:
            await self.refresh()
            self._trouble = ""
        except (InvalidRollouts, OSError) as error:
            if str(error) != self._trouble:  # else the log would say so at every look
                log.write("error", "repository", reason=str(error))
            self._trouble = str(error)

    async def refresh(self) -> Repository:
        """Looks, loads, publishes, drains. Raises BadPlans, OSError: then everything stays as it is."""
        async with self._turn:
            found, said = await self._found(), await self._in_thread(rollouts.read, self._loading.root)
            if (found, said) != self._seen:
                await self._follow(found, said)
                again = any(not judged for judged, _ in self._judged.values())
                self._seen = None if again else (found, said)
            return self.repository

    def close(self) -> None:
        for draining in self._draining:
            draining.cancel()
        for former in self._draining.values():
            former.close()
        self.repository.close()
        self._thread.shutdown(wait=True)
        self.budget.close()

    async def _found(self) -> dict[Path, Stamp]:
        """What lies there; a folder that serves and is away has a moment to come back."""
        until = time.monotonic() + _AWAY_S
        while True:
            found = await self._in_thread(scan.found, self._loading.root)
            stays = all(model.package.folder in found for model in self.repository.every())
            if stays or time.monotonic() > until:
                return found
            await asyncio.sleep(_GLANCE_S)

    async def _follow(self, found: dict[Path, Stamp], said: Rollouts) -> None:
        self._forget(found, again=said.revision != self.repository.plans.revision)
        now = Repository(wanted=self._loading.wanted, plans=said)
        by_name: dict[str, list[Path]] = {}
        for folder in found:
            by_name.setdefault(folder.parent.name, []).append(folder)
        for name, versions in by_name.items():
            await self._choose(name, versions, found, now)
        spare = await self._spare(found, now)
        now = replace(now, refused=self._outcomes(found, InvalidPackage), spare=spare)
        former, self.repository = self.repository, now
        log_changes(former, now)
        await self._publish(now)
        self._drain(former)

    def _forget(self, found: dict[Path, Stamp], *, again: bool) -> None:
        """What has changed or gone, and, where the operator has said something, what was refused: it is tried again."""
        for folder, (seen, outcome) in list(self._judged.items()):
            if found.get(folder) != seen or (again and isinstance(outcome, InvalidPackage)):
                del self._judged[folder]

    async def _choose(self, name: str, versions: list[Path], found: dict[Path, Stamp], now: Repository) -> None:
        """Puts the versions that answer for a model, and its shadow, into `now`."""
        plan = now.plan(name)
        if plan.unloaded:
            return
        candidates = [folder for folder in versions if plan.pinned in (None, folder.name)]
        served = await self._first(candidates, found) or self.repository.served.get(name)
        if served is None:
            return
        now.served[name] = served
        if plan.canary and (other := await self._beside(now.answering(name), plan.canary.version, versions, found)):
            now.canaries[name] = CanaryModel(other, plan.canary.percent)
        if plan.shadow and (other := await self._beside(now.answering(name), plan.shadow, versions, found)):
            now.shadows[name] = other

    async def _first(self, candidates: list[Path], found: dict[Path, Stamp]) -> ServedModel | None:
        for folder in candidates:
            if model := await self._served(folder, found[folder]) or self._running(folder):
                return model
        return None

    def _running(self, folder: Path) -> ServedModel | None:
        """What was loaded from this folder and still runs, whatever has become of the folder."""
        return next((model for model in self.repository.every() if model.package.folder == folder), None)

    async def _beside(
        self, answering: tuple[ServedModel, ...], version: str, versions: list[Path], found: dict[Path, Stamp]
    ) -> ServedModel | None:
        """A version to run beside those that answer; None where there is none that could take their place."""
        other = await self._first([folder for folder in versions if folder.name == version], found)
        if other is None or any(other is each for each in answering) or differs(answering[0].spec, other.spec):
            return None
        return other

    async def _served(self, folder: Path, stamp: Stamp) -> ServedModel | None:
        """The version in this folder, loaded; None where it is refused."""
        known = self._judged.get(folder)
        if known and isinstance(known[1], ServedModel | InvalidPackage):
            return known[1] if isinstance(known[1], ServedModel) else None
        try:
            package = await self._in_thread(read, folder)
            model = self._same(package) or await self._load(package)
        except (StriateError, OSError, MemoryError) as error:
            reason = str(error) or type(error).__name__
            known_as = () if _passes(error) else stamp
            self._judged[folder] = known_as, InvalidPackage(folder.parent.name, folder.name, reason)
            return None
        self._judged[folder] = stamp, model
        return model

    def _same(self, package: Package) -> ServedModel | None:
        """The model that these very bytes have become already."""
        return next((model for model in self.repository.every() if model.package.sha256 == package.sha256), None)

    async def _load(self, package: Package) -> ServedModel:
        """Raises StriateError."""

        def opened() -> Batcher:
            now = read(package.folder)
            if now.sha256 != package.sha256:
                raise PackageError(f"{package.spec.name} {package.spec.version} has been replaced on disk.")
            session = prove(now, open_session=self._loading.open_session)
            batcher = self._loading.open_batcher(session)
            batcher.warm(prepared(now.test_tensors()[0][0], now.spec)[None], now.spec.output_names)
            return batcher

        nbytes = package.weights.stat().st_size
        queue = CachedNetwork(self.budget, opened, nbytes=nbytes, length=self._loading.length)
        await self.budget.load(queue)
        return ServedModel(package, queue.provider, queue, nbytes)

    async def _spare(self, found: dict[Path, Stamp], now: Repository) -> tuple[InactivePackage, ...]:
        """The sound packages that nobody needs now; what is found unfit on the way is refused."""
        needed = {model.package.folder for model in now.every()}
        for folder, stamp in found.items():
            known = self._judged.get(folder)
            if folder in needed or (known and not isinstance(known[1], ServedModel)):
                continue
            try:
                spare = InactivePackage(
                    known[1].package if known and isinstance(known[1], ServedModel) else read(folder)
                )
                self._judged[folder] = stamp, spare
            except PackageError as error:
                self._judged[folder] = stamp, InvalidPackage(folder.parent.name, folder.name, str(error))
        return self._outcomes(found, InactivePackage)

    def _outcomes(self, found: dict[Path, Stamp], kind: type[T]) -> tuple[T, ...]:
        outcomes = (self._judged[folder][1] for folder in found if folder in self._judged)
        return tuple(outcome for outcome in outcomes if isinstance(outcome, kind))

    def _drain(self, former: Repository) -> None:
        draining = asyncio.create_task(drain(former, self.repository))
        self._draining[draining] = former
        draining.add_done_callback(self._draining.pop)

    async def _in_thread(self, function: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(function, *args))


def _passes(error: Exception) -> bool:
    """Whether it lies at the machine rather than at the package, and may be over at the next look."""
    cause = error.__cause__ or error
    of_the_folder = isinstance(cause, FileNotFoundError | PermissionError | NotADirectoryError | IsADirectoryError)
    return isinstance(cause, OSError | MemoryError) and not of_the_folder
