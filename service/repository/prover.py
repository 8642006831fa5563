"""Prover: has packages proved in child processes, a few at a time, while what serves goes on."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.closed import Sha256
from models.errors import PackageError, StriateError
from service.inference import BUCKETS
from service.repository.scan import Stamp
from service.sandbox.limited_job import JobTooLarge, Limits, run_job

_CHILD = "service.repository.proof"
_CHILDREN = 4  # at a time, so that packages that never end do not hold up the others
# Shares of the memory for proofs: for each child, and for one at a time that has needed more.
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
    """One folder's proof, running or ended. stamp: of the folder when it began. runs: whether the network is run."""

    def __init__(self, stamp: Stamp, *, runs: bool, patient_until: float) -> None:
        self.stamp, self.runs = stamp, runs
        self.patient_until = patient_until
        self.cancelled = threading.Event()
        self.outcome: asyncio.Future[Proof | Exception]

    def is_of(self, stamp: Stamp, *, runs: bool) -> bool:
        return self.stamp == stamp and (self.runs or not runs)


class Prover:
    """Proofs of folders. Only what has one is read by the process that serves."""

    def __init__(self, options: ProofOptions, *, on_late: Callable[[], None]) -> None:
        """on_late: called when a proof ends for which somebody has stopped waiting."""
        self._options, self._on_late = options, on_late
        self._large = threading.Lock()
        self._first_until = time.monotonic() + FIRST_PATIENCE_S
        self._attempts: dict[Path, Attempt] = {}
        self._threads = ThreadPoolExecutor(_CHILDREN, thread_name_prefix="prover")

    @property
    def is_busy(self) -> bool:
        return bool(self._attempts)

    def start(self, folder: Path, stamp: Stamp, *, runs: bool) -> Attempt:
        """Begins a folder's proof, or returns the one that has begun."""
        attempt = self._attempts.get(folder)
        if attempt and attempt.is_of(stamp, runs=runs):
            return attempt
        if attempt:
            attempt.cancelled.set()
        patient_until = max(self._first_until, time.monotonic() + PATIENCE_S)
        attempt = self._attempts[folder] = Attempt(stamp, runs=runs, patient_until=patient_until)
        loop = asyncio.get_running_loop()
        attempt.outcome = loop.run_in_executor(self._threads, self._outcome, folder, attempt)
        return attempt

    async def proof(self, folder: Path, stamp: Stamp, *, runs: bool) -> Proof:
        """Returns a folder's proof. Raises PackageError, SandboxFailed; NotProvedYet if it takes long."""
        attempt = self.start(folder, stamp, runs=runs)
        await asyncio.wait([attempt.outcome], timeout=max(0.0, attempt.patient_until - time.monotonic()))
        if not attempt.outcome.done():
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
                attempt.cancelled.set()
                del self._attempts[folder]

    def close(self) -> None:
        for attempt in self._attempts.values():
            attempt.cancelled.set()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _outcome(self, folder: Path, attempt: Attempt) -> Proof | Exception:
        try:
            return Proof.model_validate(self._result(folder, attempt))
        except ValidationError:
            return PackageError("The process that proved it sent no proof.")
        except (StriateError, OSError) as error:
            return error

    def _result(self, folder: Path, attempt: Attempt) -> dict[str, Any]:
        """Tries with little memory first: together the children must leave enough to what serves."""
        started = time.monotonic()
        options = self._options
        batches = {"sizes": options.batch_sizes, "bound_s": options.batch_bound_s} if attempt.runs else None
        run = partial(run_job, _CHILD, {"folder": str(folder), "batches": batches}, cancelled=attempt.cancelled)
        try:
            return run(limits=Limits(options.timeout_s, int(_SMALL * options.memory_bytes)))
        except JobTooLarge:
            left_s = round(max(1.0, options.timeout_s - (time.monotonic() - started)), 1)
            with self._large:
                return run(limits=Limits(left_s, int(LARGE * options.memory_bytes)))
