"""Batcher: runs an item at once while a lane is idle, and forms batches of the items that wait while none is.

Items arrive and are answered in the event loop. A lane's thread takes its next batch by itself, since a processor would
idle until the event loop had heard of a run's end and sent another; a lock guards what the two share. It is
work-conserving: nothing polls, and no item waits for a batch to fill. A batch is launched when an item arrives and when
a run ends. An uncontended item may run inline, in its caller's thread (`run_inline`).
"""

import asyncio
import math
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import count
from statistics import median

import numpy as np

from models.image import Array
from service.errors import DeadlinePassed, NotReady, QueueFull
from service.inference import RunGivenUp, Session
from service.scheduling.cost_model import BatchCloseReason, CostModel
from service.scheduling.work import Work
from service.scheduling.work_item import BatchRun, InferenceResult, WorkItem, deliver, run_batch
from service.scheduling.work_queue import WorkQueue

_WARM_RUNS, _WARM_S = 3, 60.0  # of each batch size, in each lane; what each may take
_BRIEF_S = 0.25  # after which a run in the event loop is given up
_HOP_S = 2.5e-4  # about what a change of thread and back costs: a shorter run is not worth one


class Batcher:
    """Takes items from many requests to one session. A failing, late or cancelled item affects no other."""

    def __init__(
        self, session: Session, *, length: int, bound_s: float = math.inf, cost_model: CostModel | None = None
    ) -> None:
        """length: items that may wait or run. bound_s: seconds that a run of more than one item may take."""
        self._session = session
        self._length = length
        self._bound_s = bound_s
        self._cost_model = cost_model or CostModel()
        self._lanes = ThreadPoolExecutor(session.lanes, thread_name_prefix="session")
        self._idle = session.lanes
        self._queue = WorkQueue()
        self._numbers = count()
        self._items = 0  # that wait or run in a lane
        self._inline = 0  # runs in a thread that is not ours: one, or none
        self._closed = False
        self._lock = threading.RLock()  # of all that stands above; a run may end within the call that starts it
        self._inline_ended = threading.Condition(self._lock)
        self.last_used = time.monotonic()  # when it took its last item, or was made

    @property
    def provider(self) -> str:
        return self._session.provider

    @property
    def loaded(self) -> bool:
        return True

    @property
    def depth(self) -> int:
        """Items that wait or run."""
        return self._items + self._inline

    async def submit(self, tensor: Array, outputs: Sequence[str], work: Work) -> InferenceResult:
        """Runs tensor (1, C, H, W) float32 -> its outputs.

        Raises QueueFull and NotReady at once, DeadlinePassed when its turn comes too late: then it never runs. A caller
        who is cancelled, as Deadline.enforced() does, frees its place: at once while it waits, else when its run ends.
        """
        if self._closed:
            raise NotReady("The model is no longer served.")
        if self.depth >= self._length and not work.has_place:
            raise QueueFull(self._length, retry_after_s=math.ceil(self._drained_in(tensor.size)))
        self.last_used = time.monotonic()
        result: asyncio.Future[InferenceResult] = asyncio.get_running_loop().create_future()
        item = WorkItem(next(self._numbers), tensor, tuple(outputs), work, result, arrived=time.perf_counter())
        work.reservation.retain()
        self._launch(BatchCloseReason.IDLE, item)
        try:
            return await result
        finally:
            self._withdraw(item)

    def run_inline(
        self, tensor: Array, outputs: Sequence[str], work: Work, *, limit_s: float = math.inf
    ) -> InferenceResult | None:
        """Runs as submit does, in the calling thread, which saves the way to a lane's and back; from any thread.

        limit_s: after which it is given up. Returns None where other items wait or run, and where submit would raise.
        """
        with self._lock:
            busy = self._items or self._idle < self._session.lanes or self.depth >= self._length
            if busy or self._closed or work.deadline.passed:
                return None
            self._idle -= 1
            self._inline += 1
        self.last_used = time.monotonic()
        started = time.perf_counter()
        try:
            until = min(work.deadline.given_up_at, time.monotonic() + limit_s)
            outputs_by_name = self._session.run(tensor, outputs, until)
        finally:
            seconds = time.perf_counter() - started
            with self._lock:
                self._idle += 1
                self._inline -= 1
                if limit_s < math.inf:
                    self._cost_model.record_alone(tensor.size, seconds)
                self._inline_ended.notify()
                self._launch(BatchCloseReason.NO_MORE)
        return InferenceResult(outputs_by_name, 0.0, seconds, 1, BatchCloseReason.IDLE)

    def run_brief(self, tensor: Array, outputs: Sequence[str], work: Work) -> InferenceResult | None:
        """Runs inline what takes less time than a change of thread. Returns None for all else."""
        with self._lock:
            if not self._cost_model.within(_HOP_S, tensor.size):
                return None
        with suppress(RunGivenUp):  # a lane has more time
            return self.run_inline(tensor, outputs, work, limit_s=_BRIEF_S)
        return None

    def warm(self, tensor: Array, outputs: Sequence[str]) -> None:
        """Runs every batch size that may come to run, before requests do; where the time goes is then known.

        tensor (1, C, H, W) float32. Raises what the session raises.
        """
        for size in self._session.buckets:
            batch = np.repeat(tensor, size, axis=0)
            self._session.run(batch, outputs, time.monotonic() + _WARM_S)
            seconds = self._side_by_side(batch, outputs)
            self._cost_model.record(size, elements=batch.size, seconds=seconds)
            if 2 * seconds > self._bound_s or self._batch_size(size, tensor.size)[0] < size:
                break  # the next would take too long, or this one did not pay

    def _side_by_side(self, batch: Array, outputs: Sequence[str]) -> float:
        """Seconds that a run takes while every lane runs."""

        def seconds(_: int) -> float:
            started = time.perf_counter()
            self._session.run(batch, outputs, time.monotonic() + _WARM_S)
            return time.perf_counter() - started

        return median(self._lanes.map(seconds, range(_WARM_RUNS * self._session.lanes)))

    def close(self) -> None:
        """Cancels the items that wait, and returns when the current runs have ended."""
        with self._lock:
            self._closed = True
            for item in self._queue.items():
                item.result.cancel()
            self._inline_ended.wait_for(lambda: not self._inline)
        self._lanes.shutdown(wait=True)

    async def aclose(self) -> None:
        """Closes without holding up the event loop."""
        await asyncio.to_thread(self.close)

    def _drained_in(self, elements: int) -> float:
        """Returns the seconds until the queue is expected to be empty."""
        with self._lock:
            return self.depth * self._cost_model.seconds(elements) / self._session.lanes

    def _withdraw(self, item: WorkItem) -> None:
        """Frees the place of an item that still waits: its caller has gone, or its deadline has passed."""
        with self._lock:
            if item.waiting:
                self._queue.remove(item)
                item.waiting = False
                self._release(item)

    def _release(self, *items: WorkItem) -> None:
        """Frees the places of items that neither wait nor run any more; the lock is held."""
        self._items -= len(items)
        for item in items:
            item.work.reservation.release()

    def _launch(self, reason_if_all: BatchCloseReason, *items: WorkItem) -> None:
        """Queues new items and puts every idle lane to work. reason_if_all: why a batch takes all items that wait."""
        with self._lock:
            if items:
                self._items += len(items)
                self._queue.add(items)
            while self._idle and self._items and not self._closed:
                batch, reason = self._gather()
                if not batch:
                    break
                alone = len(batch) == 1 and self._idle == self._session.lanes
                self._idle -= 1
                reason = reason_if_all if reason is BatchCloseReason.NO_MORE else reason
                run = partial(self._run, batch, alone=alone, crowded=not self._idle)
                self._lanes.submit(run).add_done_callback(partial(self._ended, batch, reason))

    def _gather(self) -> tuple[list[WorkItem], BatchCloseReason]:
        """Returns the oldest item of those whose turn it is, as many of its group as pay, and why not more."""
        batch: list[WorkItem] = []
        reason = BatchCloseReason.NO_MORE
        while not batch and len(self._queue):
            group = self._queue.next_group()
            first = group[0]
            size, reason = self._batch_size(len(group), first.tensor.size)
            reason = BatchCloseReason.ALONE if first.alone else reason
            while len(batch) < size and (item := self._queue.pop(first.group)):
                item.waiting = False
                if item.work.deadline.passed:
                    self._release(item)
                    item.call_in_loop(item.settle, DeadlinePassed(item.work.deadline.timeout_s))
                else:
                    batch.append(item)
        return batch, reason

    def _batch_size(self, waiting: int, elements: int) -> tuple[int, BatchCloseReason]:
        return self._cost_model.batch_size(
            waiting, elements=elements, buckets=self._session.buckets, bound_s=self._bound_s
        )

    def _run(self, batch: list[WorkItem], *, alone: bool, crowded: bool) -> BatchRun:
        """Runs a batch, in a lane's thread.

        alone: one item that began while no lane ran. crowded: it began while every other lane ran; batches form, and
        the queue drains, while all lanes are busy, and a run that has the processor to itself is faster.
        """
        run = run_batch(self._session, batch)
        elements = sum(item.tensor.size for item in batch)
        with self._lock:
            if alone:
                self._cost_model.record_alone(elements, run.seconds)
            if crowded:
                self._cost_model.record(len(batch), elements=elements, seconds=run.seconds)
        return run

    def _ended(self, batch: list[WorkItem], reason: BatchCloseReason, run: Future[BatchRun]) -> None:
        """Launches the next batch, and then delivers this one; in the lane's thread."""
        again: list[WorkItem] = []
        with self._lock:
            self._idle += 1
            if run.exception() and len(batch) > 1 and not self._closed:
                again = [item for item in batch if not item.result.done()]
            self._release(*(item for item in batch if item not in again))
            for item in again:  # each runs alone, so that only the one at fault fails; they are the oldest, so the next
                item.alone = item.waiting = True
            self._queue.add(again)
            self._launch(BatchCloseReason.NO_MORE)
        if not again:
            batch[0].call_in_loop(deliver, batch, reason, run)
