"""Prover: has packages proved in child processes, a few at a time, while what serves goes on."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.closed import Sha256
from models.errors import PackageError
from service.inference import BUCKETS
from service.repository.fair_pool import FairPool
from service.repository.scan import Stamp
from service.sandbox.limited_job import JobTooLarge, Limits, run_job

_CHILD = "service.repository.proof"
_CHILDREN, _OF_A_MODEL = 4, 2  # at a time, so that packages that never end do not hold up the others
# Shares of the memory for proofs: for each of these children, and for one more that has needed more.
_SMALL, LARGE = 1 / 16, 3 / 4
PATIENCE_S = 10.0  # after which a new state is published without what is not proved yet
# Nobody is served yet: what the service finds at its start has longer, counted from the start.
FIRST_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class ProofOptions:
    """timeout_s: for each package. memory_bytes: for all that are proved at a time.

    batch_sizes, batch_bound_s: those of the batcher that will run the network.
    """

    timeout_s: float = 60.0
    memory_bytes: int = 2**30
    batch_sizes: tuple[int, ...] = BUCKETS
    batch_bound_s: float = 0.5


class Proof(BaseModel):
    """What the child reports. sha256: of the package that it proved.

    element_bytes: the memory that a run on the test input took at its peak for each of its values, beside the network.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: Sha256
    element_bytes: float = Field(0.0, ge=0)


class NotProvedYet(PackageError):
    def __init__(self) -> None:
        super().__init__("It is still being proved.")


class Attempt:
    """One folder's proof, waiting, running or ended.

    stamp: of the folder when it began. runs: whether the network is run. seconds: for which its children have run.
    """

    def __init__(self, stamp: Stamp, *, runs: bool, patient_until: float) -> None:
        self.stamp, self.runs = stamp, runs
        self.patient_until = patient_until
        self.seconds = 0.0
        self.is_late = False
        self.cancelled = threading.Event()
        self.outcome: asyncio.Task[Proof | Exception]

    async def wait(self) -> None:
        """Waits as long as there is patience."""
        await asyncio.wait([self.outcome], timeout=max(0.0, self.patient_until - time.monotonic()))

    def cancel(self) -> None:
        self.cancelled.set()
        self.outcome.cancel()

    def is_of(self, stamp: Stamp, *, runs: bool) -> bool:
        return self.stamp == stamp and (self.runs or not runs)


class Prover:
    """Proofs of folders. Only what has one is read by the process that serves."""

    def __init__(self, options: ProofOptions, *, on_late: Callable[[], None]) -> None:
        """on_late: called when a proof ends for which somebody has stopped waiting."""
        self._options, self._on_late = options, on_late
        self._small, self._large = FairPool(_CHILDREN, share=_OF_A_MODEL), FairPool(1, share=1)
        self._first_until = self._patient_until = time.monotonic() + FIRST_PATIENCE_S
        self._late_models: set[Path] = set()
        self._attempts: dict[Path, Attempt] = {}

    @property
    def is_busy(self) -> bool:
        return bool(self._attempts)

    def renew_patience(self, *, for_late: bool) -> None:
        """Has all proofs that begin from now on waited for until the same moment.

        for_late: also those of models that have late ones; whoever adds versions would hold up the others.
        """
        self._patient_until = max(self._first_until, time.monotonic() + PATIENCE_S)
        self._first_until = 0.0  # the next refresh begins when others are served
        late = (folder.parent for folder, attempt in self._attempts.items() if attempt.is_late)
        self._late_models = set() if for_late else set(late)

    def start(self, folder: Path, stamp: Stamp, *, runs: bool, has_next: bool = False) -> Attempt:
        """Begins a folder's proof, or returns the one that has begun. has_next: leaves half the patience to another."""
        attempt = self._attempts.get(folder)
        if attempt and attempt.is_of(stamp, runs=runs):
            return attempt
        if attempt:
            attempt.cancel()
        now = time.monotonic()
        until = now if folder.parent in self._late_models else max(now, self._patient_until)
        until -= (until - now) / 2 if has_next else 0
        attempt = self._attempts[folder] = Attempt(stamp, runs=runs, patient_until=until)
        attempt.outcome = asyncio.create_task(self._outcome(folder, attempt))
        return attempt

    async def passes(self, folder: Path, stamp: Stamp, *, has_next: bool) -> bool:
        """Waits as proof() does; returns whether there is a proof."""
        attempt = self.start(folder, stamp, runs=True, has_next=has_next)
        await attempt.wait()
        return attempt.outcome.done() and isinstance(attempt.outcome.result(), Proof)

    async def proof(self, folder: Path, stamp: Stamp, *, runs: bool) -> Proof:
        """Returns a folder's proof. Raises PackageError, SandboxFailed; NotProvedYet if it takes long."""
        attempt = self.start(folder, stamp, runs=runs)
        await attempt.wait()
        if not attempt.outcome.done():
            if not attempt.is_late:
                attempt.is_late = True
                attempt.outcome.add_done_callback(lambda _: self._on_late())
            raise NotProvedYet
        del self._attempts[folder]
        outcome = attempt.outcome.result()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def forget(self, folders: Mapping[Path, Stamp]) -> None:
        """Cancels the proofs of folders that are gone or have changed."""
        for folder, attempt in list(self._attempts.items()):
            if folders.get(folder) != attempt.stamp:
                attempt.cancel()
                del self._attempts[folder]

    def close(self) -> None:
        for attempt in self._attempts.values():
            attempt.cancel()
        self._small.close()
        self._large.close()

    async def _outcome(self, folder: Path, attempt: Attempt) -> Proof | Exception:
        try:
            return Proof.model_validate(await self._result(folder, attempt))
        except ValidationError:
            return PackageError("The process that proved it sent no proof.")
        except Exception as error:  # noqa: BLE001  whatever a package causes refuses it alone
            return error

    async def _result(self, folder: Path, attempt: Attempt) -> dict[str, Any]:
        """Tries with little memory first: together the children must leave enough to what serves."""
        model, run = folder.parent.name, partial(self._run, folder, attempt)
        try:
            return await asyncio.wrap_future(self._small.submit(model, partial(run, _SMALL)))
        except JobTooLarge:
            return await asyncio.wrap_future(self._large.submit(model, partial(run, LARGE)))

    def _run(self, folder: Path, attempt: Attempt, share: float) -> dict[str, Any]:
        """Runs a child with this share of the memory, in the time that the attempt has left."""
        options, started = self._options, time.monotonic()
        batches = {"sizes": options.batch_sizes, "bound_s": options.batch_bound_s} if attempt.runs else None
        limits = Limits(options.timeout_s, int(share * options.memory_bytes), spent_s=attempt.seconds)
        try:
            return run_job(
                _CHILD, {"folder": str(folder), "batches": batches}, limits=limits, cancelled=attempt.cancelled
            )
        finally:
            attempt.seconds += time.monotonic() - started
