"""Reconciler: keeps the loaded models equal to the repository and the rollout configuration."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from models.errors import PackageError, StriateError
from models.package import Package
from service.api.rollout import Rollouts
from service.repository import rollouts, scan
from service.repository.drain import Drain
from service.repository.errors import InvalidRollouts
from service.repository.model_cache import CachedNetwork, ModelCache
from service.repository.network_loading import LoadOptions, is_transient, open_batcher
from service.repository.scan import Stamp
from service.repository.startup_message import log_changes
from service.repository.state import (
    CanaryModel,
    InactivePackage,
    InvalidPackage,
    Repository,
    ServedModel,
)
from service.repository.verifier import read
from service.repository.watch import watch
from service.telemetry.log import log

Publish = Callable[[Repository], Awaitable[None]]
T = TypeVar("T")
ABSENCE_GRACE_S, _ABSENCE_POLL_S = 0.5, 0.05  # a folder is briefly absent while another one replaces it


class Reconciler:
    """The owner of this process's networks. A version in use is removed only after its successor was verified."""

    def __init__(self, options: LoadOptions, *, publish: Publish) -> None:
        """publish: puts a new state into effect; awaited before the previous state is drained."""
        self.repository = Repository(wanted=options.wanted)
        self.cache = ModelCache(options.limit_bytes)
        self._options, self._publish = options, publish
        # An empty stamp marks a verdict that is checked again by the next refresh.
        self._verdicts: dict[Path, tuple[Stamp, ServedModel | InactivePackage | InvalidPackage]] = {}
        self._lock, self._woken = asyncio.Lock(), asyncio.Event()
        self._last_error = ""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="loader")
        self.draining = Drain()
        self._applied: tuple[dict[Path, Stamp], Rollouts] | None = None

    def wake(self) -> None:
        """Has run() refresh at once: a known change need not wait for the file system's notification."""
        self._woken.set()

    async def run(self) -> None:
        """Applies every change until cancelled; logs errors, and tries again."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(watch(self._options.root, self.wake))
            while True:
                self._woken.clear()
                await self._refresh_or_log()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._options.rescan_s):
                        await self._woken.wait()

    async def _refresh_or_log(self) -> None:
        try:
            await self.refresh()
            self._last_error = ""
        except (InvalidRollouts, OSError) as error:
            if str(error) != self._last_error:  # logged once, not at every refresh
                log.write("error", "repository not refreshed", reason=str(error))
            self._last_error = str(error)

    async def refresh(self) -> Repository:
        """Scans, loads, publishes and drains. Raises InvalidRollouts, OSError, and then changes nothing."""
        async with self._lock:
            folders, rollout_file = await self._scan(), await self._in_thread(rollouts.read, self._options.root)
            if (folders, rollout_file) != self._applied:
                await self._apply(folders, rollout_file)
                must_retry = any(not stamp for stamp, _ in self._verdicts.values())
                self._applied = None if must_retry else (folders, rollout_file)
            return self.repository

    def close(self) -> None:
        self.draining.close()
        self.repository.close()
        self._thread.shutdown(wait=True)
        self.cache.close()

    async def _scan(self) -> dict[Path, Stamp]:
        """Finds the version folders; a missing folder of a loaded version has a moment to reappear."""
        deadline = time.monotonic() + ABSENCE_GRACE_S
        while True:
            folders = await self._in_thread(scan.find_versions, self._options.root)
            is_complete = all(model.package.folder in folders for model in self.repository.all_models())
            if is_complete or time.monotonic() > deadline:
                return folders
            await asyncio.sleep(_ABSENCE_POLL_S)

    async def _apply(self, folders: dict[Path, Stamp], rollout_file: Rollouts) -> None:
        self._discard_verdicts(folders, retry_invalid=rollout_file.revision != self.repository.rollouts.revision)
        state = Repository(wanted=self._options.wanted, rollouts=rollout_file)
        by_name: dict[str, list[Path]] = {}
        for folder in folders:
            by_name.setdefault(folder.parent.name, []).append(folder)
        for name, versions in by_name.items():
            await self._select_versions(name, versions, folders, state)
        inactive = await self._inactive(folders, state)
        state = replace(state, invalid=self._verdicts_of(folders, InvalidPackage), inactive=inactive)
        previous, self.repository = self.repository, state
        log_changes(previous, state)
        await self._publish(state)
        self.draining.begin(previous, state)

    def _discard_verdicts(self, folders: dict[Path, Stamp], *, retry_invalid: bool) -> None:
        """Discards the verdicts on changed folders and, after an operator's change, on invalid packages."""
        for folder, (stamp, verdict) in list(self._verdicts.items()):
            if folders.get(folder) != stamp or (retry_invalid and isinstance(verdict, InvalidPackage)):
                del self._verdicts[folder]

    async def _select_versions(
        self, name: str, versions: list[Path], folders: dict[Path, Stamp], state: Repository
    ) -> None:
        """Adds a model's served version, canary and shadow to the state."""
        rollout = state.rollout(name)
        if rollout.unloaded:
            return
        candidates = [folder for folder in versions if rollout.pinned in (None, folder.name)]
        served = await self._first_valid(candidates, folders) or self.repository.served.get(name)
        if served is None:
            return
        state.served[name] = served

        async def companion(version: str) -> ServedModel | None:
            """Returns another version to run beside the live ones, unless it is incompatible with them."""
            live = state.live_versions(name)
            other = await self._first_valid([folder for folder in versions if folder.name == version], folders)
            if (
                other is None
                or any(other is each for each in live)
                or rollouts.incompatibility(live[0].spec, other.spec)
            ):
                return None
            return other

        if rollout.canary and (canary := await companion(rollout.canary.version)):
            state.canaries[name] = CanaryModel(canary, rollout.canary.percent)
        if rollout.shadow and (shadow := await companion(rollout.shadow)):
            state.shadows[name] = shadow

    async def _first_valid(self, candidates: list[Path], folders: dict[Path, Stamp]) -> ServedModel | None:
        for folder in candidates:
            if model := await self._loaded(folder, folders[folder]) or self._running_from(folder):
                return model
        return None

    def _running_from(self, folder: Path) -> ServedModel | None:
        """Returns the running model that was loaded from this folder, whatever the folder holds now."""
        return next((model for model in self.repository.all_models() if model.package.folder == folder), None)

    async def _loaded(self, folder: Path, stamp: Stamp) -> ServedModel | None:
        """Returns the folder's version, loaded; None if it is invalid."""
        _, verdict = self._verdicts.get(folder, ((), None))
        if isinstance(verdict, ServedModel | InvalidPackage):
            return verdict if isinstance(verdict, ServedModel) else None
        try:
            package = await self._in_thread(read, folder)
            model = self._running_copy(package) or await self._load(package)
        except (StriateError, OSError, MemoryError) as error:
            reason = str(error) or type(error).__name__
            invalid = InvalidPackage(folder.parent.name, folder.name, reason)
            self._verdicts[folder] = () if is_transient(error) else stamp, invalid
            return None
        self._verdicts[folder] = stamp, model
        return model

    def _running_copy(self, package: Package) -> ServedModel | None:
        """Returns the running model with the same digest."""
        return next((model for model in self.repository.all_models() if model.package.sha256 == package.sha256), None)

    async def _load(self, package: Package) -> ServedModel:
        """Raises StriateError."""
        nbytes = package.weights.stat().st_size
        loader = partial(open_batcher, package, self._options)
        network = CachedNetwork(self.cache, loader, nbytes=nbytes, length=self._options.queue_length)
        await self.cache.load(network)
        return ServedModel(package, network.provider, network, nbytes)

    async def _inactive(self, folders: dict[Path, Stamp], state: Repository) -> tuple[InactivePackage, ...]:
        """Returns the valid packages that are not in use, and records invalid ones among them."""
        in_use = {model.package.folder for model in state.all_models()}
        for folder, stamp in folders.items():
            _, verdict = self._verdicts.get(folder, ((), None))
            if folder in in_use or isinstance(verdict, InactivePackage | InvalidPackage):
                continue
            try:
                package = verdict.package if isinstance(verdict, ServedModel) else read(folder)
                self._verdicts[folder] = stamp, InactivePackage(package)
            except PackageError as error:
                self._verdicts[folder] = stamp, InvalidPackage(folder.parent.name, folder.name, str(error))
        return self._verdicts_of(folders, InactivePackage)

    def _verdicts_of(self, folders: dict[Path, Stamp], kind: type[T]) -> tuple[T, ...]:
        verdicts = (self._verdicts[folder][1] for folder in folders if folder in self._verdicts)
        return tuple(verdict for verdict in verdicts if isinstance(verdict, kind))

    async def _in_thread(self, function: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(function, *args))
