"""Reconciler: keeps the loaded models equal to the repository and the rollout configuration."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from models.package import Package
from service.api.rollout import Rollouts
from service.repository import rollouts, scan
from service.repository.drain import Drain
from service.repository.errors import InvalidRollouts
from service.repository.invalid_package import InvalidPackage
from service.repository.model_cache import CachedNetwork, ModelCache
from service.repository.network_loading import LoadOptions, open_batcher
from service.repository.prover import NotProvedYet, Proof, Prover
from service.repository.scan import Stamp
from service.repository.startup_message import log_changes
from service.repository.state import CanaryModel, InactivePackage, Repository, ServedModel
from service.repository.verdicts import Verdicts
from service.repository.verifier import read_proved
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
        self._verdicts = Verdicts()
        self._lock, self._woken = asyncio.Lock(), asyncio.Event()
        self._last_error = ""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="loader")
        self._prover = Prover(options.proof, on_late=self.wake)
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
        except Exception as error:  # noqa: BLE001  whatever lies in the folder, what is loaded goes on serving
            if str(error) != self._last_error:  # logged once, not at every refresh
                self._log(error)
            self._last_error = str(error)

    def _log(self, error: Exception) -> None:
        if isinstance(error, InvalidRollouts | OSError):
            log.write("error", "repository not refreshed", reason=str(error))
        else:  # a bug, whose words may quote a file
            log.write("error", "repository not refreshed", reason=type(error).__name__)
            log.exception(error, request_id="models")

    async def refresh(self) -> Repository:
        """Scans, loads, publishes and drains. Raises InvalidRollouts, OSError, and then changes nothing."""
        async with self._lock:
            folders = await self._scan()
            absence = "" if folders else await self._in_thread(scan.absence, self._options.root)
            if absence != self.repository.absence and (self.repository.served or not absence):
                await self._set_absence(absence)
            if absence and self.repository.served:
                self._applied = None
                return self.repository
            rollout_file = await self._in_thread(rollouts.read, self._options.root)
            if (folders, rollout_file) != self._applied:
                await self._apply(folders, rollout_file, absence)
                must_retry = self._prover.is_busy or self._verdicts.must_retry()
                self._applied = None if must_retry else (folders, rollout_file)
            return self.repository

    async def _set_absence(self, absence: str) -> None:
        """Publishes whether the repository's folder is there; while it is away, what is loaded goes on serving."""
        if absence:
            log.write("error", "repository absent", folder=str(self._options.root), reason=absence)
        self.repository = replace(self.repository, absence=absence)
        await self._publish(self.repository)

    def close(self) -> None:
        self.draining.close()
        self.repository.close()
        self._prover.close()
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

    async def _apply(self, folders: dict[Path, Stamp], rollout_file: Rollouts, absence: str) -> None:
        self._prover.forget(folders)
        by_operator = rollout_file.revision != self.repository.rollouts.revision
        self._prover.renew_patience(for_late=by_operator)  # an operator is waiting for the answer
        self._verdicts.discard(folders, retry_invalid=by_operator)
        self._verdicts.refuse_unproved(folders)
        state = Repository(wanted=self._options.wanted, rollouts=rollout_file, absence=absence)
        by_name = {name: list(versions) for name, versions in groupby(folders, key=lambda folder: folder.parent.name)}
        await asyncio.gather(*(self._await_proofs(versions, folders, state) for versions in by_name.values()))
        for name, versions in by_name.items():
            await self._select_versions(name, versions, folders, state)
        inactive = await self._inactive(folders, state)
        state = replace(state, invalid=self._verdicts.every(InvalidPackage, folders), inactive=inactive)
        previous, self.repository = self.repository, state
        log_changes(previous, state)
        await self._publish(state)
        self.draining.begin(previous, state)

    async def _await_proofs(self, versions: list[Path], folders: dict[Path, Stamp], state: Repository) -> None:
        """Has a model's versions proved, newest first, until one can serve or there is no patience left."""
        candidates = _candidates(versions, state)
        for folder in candidates:
            verdict = self._verdicts.of(folder)
            if isinstance(verdict, ServedModel):
                return
            has_next = folder != candidates[-1]
            if not verdict and await self._prover.passes(folder, folders[folder], has_next=has_next):
                return

    async def _select_versions(
        self, name: str, versions: list[Path], folders: dict[Path, Stamp], state: Repository
    ) -> None:
        """Adds a model's served version, canary and shadow to the state."""
        rollout = state.rollout(name)
        served = await self._first_valid(_candidates(versions, state), folders) or self.repository.served.get(name)
        if served is None or rollout.unloaded:
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
            if model := await self._loaded(folder, folders[folder]) or self.repository.loaded_from(folder):
                return model
        return None

    async def _loaded(self, folder: Path, stamp: Stamp) -> ServedModel | None:
        """Returns the folder's version, loaded; None if it is invalid."""
        verdict = self._verdicts.of(folder)
        if isinstance(verdict, ServedModel | InvalidPackage):
            return verdict if isinstance(verdict, ServedModel) else None
        try:
            proof = await self._prover.proof(folder, stamp, runs=True)
            package = await self._in_thread(read_proved, folder, proof.sha256)
            model = self.repository.loaded_copy(package) or await self._load(package, proof)
        except Exception as error:  # noqa: BLE001  whatever a package causes refuses it alone
            self._verdicts.refuse(folder, stamp, error)
            return None
        self._verdicts.accept(folder, stamp, model)
        return model

    async def _load(self, package: Package, proof: Proof) -> ServedModel:
        """Raises StriateError."""
        nbytes = package.weights.stat().st_size
        options, element_bytes = self._options, proof.element_bytes
        loader = partial(open_batcher, package, options, element_bytes=element_bytes)
        network = CachedNetwork(self.cache, loader, nbytes=nbytes, length=options.queue_length)
        await self.cache.load(network)
        tile = options.memory_of(network.provider, element_bytes).largest_tile(package.spec)
        return ServedModel(package, network.provider, network, nbytes, largest_tile=tile)

    async def _inactive(self, folders: dict[Path, Stamp], state: Repository) -> tuple[InactivePackage, ...]:
        """Returns the valid packages that are not in use, and records invalid ones among them."""
        in_use = {model.package.folder for model in state.all_models()}
        unknown: dict[Path, Stamp] = {}
        for folder, stamp in folders.items():
            verdict = self._verdicts.of(folder)
            if folder in in_use or isinstance(verdict, InactivePackage | InvalidPackage):
                continue
            if isinstance(verdict, ServedModel):
                self._verdicts.accept(folder, stamp, InactivePackage(verdict.package))
            else:
                unknown[folder] = stamp
                self._prover.start(folder, stamp, runs=False)
        for folder, stamp in unknown.items():
            await self._judge_inactive(folder, stamp)
        return self._verdicts.every(InactivePackage, folders)

    async def _judge_inactive(self, folder: Path, stamp: Stamp) -> None:
        try:
            proof = await self._prover.proof(folder, stamp, runs=False)
            package = await self._in_thread(read_proved, folder, proof.sha256)
            self._verdicts.accept(folder, stamp, InactivePackage(package))
        except NotProvedYet:
            return
        except Exception as error:  # noqa: BLE001  whatever a package causes refuses it alone
            self._verdicts.refuse(folder, stamp, error)

    async def _in_thread(self, function: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(function, *args))


def _candidates(versions: list[Path], state: Repository) -> list[Path]:
    """Returns the versions of one model that may serve, as the operator configured it."""
    rollout = state.rollout(versions[0].parent.name)
    return [folder for folder in versions if not rollout.unloaded and rollout.pinned in (None, folder.name)]
