"""The batcher in front of each session: it runs at once what comes while a lane is idle, and gathers while none is.

Items come and are answered in the event loop. A lane's thread takes its next batch by itself, since a processor would
idle while the event loop heard that a run has ended and sent another; a lock guards what the two share. Nothing polls
and nothing waits for company: a launch is tried when an item comes and when a run ends. Who is alone may run in a
thread of its own (`run_alone`).
"""

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import count
from statistics import median

import numpy as np

from models.image import Array
from service.errors import DeadlinePassed, NotReady, QueueFull
from service.inference import Session
from service.scheduling.cost_model import BatchCloseReason, CostModel
from service.scheduling.deadline import Deadline
from service.scheduling.work_item import BatchRun, InferenceResult, Kind, Priority, WorkItem, answer

_TURNS = 4  # batches of people who wait, before one of a long job that waits too
_WARM_RUNS = 3  # of each batch size, in each lane
_HOP_S = 1e-4  # about what a change of thread costs: a shorter run is not worth one


class Batcher:
    """Takes items from many requests to one session. A failing, late or cancelled item affects no other."""

    def __init__(self, session: Session, *, length: int, bound_s: float = math.inf) -> None:
        """length: items that may wait or run. bound_s: seconds that a run of more than one item may take."""
        self._session = session
        self._length = length
        self._bound_s = bound_s
        self._pace = CostModel()
        self._lanes = ThreadPoolExecutor(session.lanes, thread_name_prefix="session")
        self._idle = session.lanes
        self._waiting: dict[Kind, deque[WorkItem]] = {}  # each oldest first, none empty
        self._numbers = count()
        self._turns = 0  # interactive batches since the last bulk one, while bulk waits
        self._pending = 0
        self._closed = False
        self._alone = 0  # runs in a thread that is not ours: one, or none
        self._lock = threading.RLock()  # of all that stands above; a run may end within the call that starts it
        self._ended_alone = threading.Condition(self._lock)

    @property
    def provider(self) -> str:
        return self._session.provider

    @property
    def depth(self) -> int:
        """Items that wait or run."""
        return self._pending + self._alone

    async def submit(
        self,
        tensor: Array,
        outputs: Sequence[str],
        *,
        deadline: Deadline,
        priority: Priority = Priority.INTERACTIVE,
        admitted: bool = False,
    ) -> InferenceResult:
        """tensor (1, C, H, W) float32 -> its outputs. admitted: a later tile of an image that was let in.

        Raises QueueFull and NotReady at once, DeadlinePassed when its turn comes too late: then it never runs. Whoever
        waits no longer cancels, as Deadline.enforced() does, and frees the place.
        """
        if self._closed:
            raise NotReady("The model is no longer served.")
        if self.depth >= self._length and not admitted:
            raise QueueFull(self._length, retry_after_s=math.ceil(self._drained_in(tensor.size)))
        if self._is_short(tensor.size) and (ran := self.run_inline(tensor, outputs, deadline=deadline)):
            with self._lock:
                self._pace.record(1, elements=tensor.size, seconds=ran.infer_s)
            await asyncio.sleep(0)  # a thousand tiles of it would let nobody else have the loop
            return ran
        answer: asyncio.Future[InferenceResult] = asyncio.get_running_loop().create_future()
        item = WorkItem(
            next(self._numbers), tensor, tuple(outputs), priority, deadline, answer, arrived=time.perf_counter()
        )
        self._pending += 1
        self._launch(BatchCloseReason.IDLE, item)
        try:
            return await answer
        finally:
            self._pending -= 1
            self._forget(item)

    def run_inline(self, tensor: Array, outputs: Sequence[str], *, deadline: Deadline) -> InferenceResult | None:
        """As submit, in the calling thread, which saves the way to a lane's and back. None where others wait or run.

        From any thread. None too where submit would raise.
        """
        with self._lock:
            busy = self._waiting or self._idle < self._session.lanes or self.depth >= self._length
            if busy or self._closed or deadline.at <= time.monotonic():
                return None
            self._idle -= 1
            self._alone += 1
        started = time.perf_counter()
        try:
            own = self._session.run(tensor, outputs)
        finally:
            seconds = time.perf_counter() - started
            with self._lock:
                self._idle += 1
                self._alone -= 1
                self._ended_alone.notify()
                self._launch(BatchCloseReason.NO_MORE)
        return InferenceResult(own, 0.0, seconds, 1, BatchCloseReason.IDLE)

    def warm(self, tensor: Array, outputs: Sequence[str]) -> None:
        """Runs every batch size that may come to run, before requests do; where the time goes is then known.

        tensor (1, C, H, W) float32. Raises what the session raises.
        """
        for size in self._session.buckets:
            batch = np.repeat(tensor, size, axis=0)
            self._session.run(batch, outputs)
            seconds = self._side_by_side(batch, outputs)
            self._pace.record(size, elements=batch.size, seconds=seconds)
            if 2 * seconds > self._bound_s or self._batch_size(size, tensor.size)[0] < size:
                break  # the next would take too long, or this one did not pay

    def _side_by_side(self, batch: Array, outputs: Sequence[str]) -> float:
        """Seconds that a run takes while every lane runs."""

        def seconds(_: int) -> float:
            started = time.perf_counter()
            self._session.run(batch, outputs)
            return time.perf_counter() - started

        return median(self._lanes.map(seconds, range(_WARM_RUNS * self._session.lanes)))

    def close(self) -> None:
        """Ends when the runs under way have ended; who still waits is cancelled."""
        with self._lock:
            self._closed = True
            for item in [item for items in self._waiting.values() for item in items]:
                item.answer.cancel()
            self._ended_alone.wait_for(lambda: not self._alone)
        self._lanes.shutdown(wait=True)

    def _is_short(self, elements: int) -> bool:
        with self._lock:
            return self._pace.within(_HOP_S, elements)

    def _drained_in(self, elements: int) -> float:
        """Seconds until the queue is expected to be empty."""
        with self._lock:
            return self.depth * self._pace.seconds(elements) / self._session.lanes

    def _forget(self, item: WorkItem) -> None:
        """Frees the place of an item that still waits: its caller has gone, or its time is over."""
        with self._lock:
            if item.waits:
                item.waits = False
                self._waiting[item.kind].remove(item)
                self._drop_if_empty(item.kind)

    def _drop_if_empty(self, kind: Kind) -> None:
        if not self._waiting[kind]:
            del self._waiting[kind]

    def _launch(self, left_nobody: BatchCloseReason, *items: WorkItem) -> None:
        """Puts the items into the queue and every idle lane to work. left_nobody: why a batch takes all who wait."""
        with self._lock:
            for item in items:
                self._waiting.setdefault(item.kind, deque()).append(item)
            while self._idle and not self._closed:
                batch, released = self._gather(now=time.monotonic())
                if not batch:
                    break
                self._idle -= 1
                told = left_nobody if released is BatchCloseReason.NO_MORE else released
                ended = partial(self._ended, batch, told, crowded=not self._idle)
                self._lanes.submit(self._run, batch).add_done_callback(ended)

    def _gather(self, *, now: float) -> tuple[list[WorkItem], BatchCloseReason]:
        """The oldest item of those whose turn it is, as many of its kind as it is worth taking, and why not more."""
        batch: list[WorkItem] = []
        released = BatchCloseReason.NO_MORE
        while self._waiting and not batch:
            items = self._next()
            kind = items[0].kind
            size, released = self._batch_size(len(items), items[0].tensor.size)
            released = BatchCloseReason.ALONE if items[0].alone else released
            while items and len(batch) < size:
                item = items.popleft()
                item.waits = False
                if item.deadline.at > now:
                    batch.append(item)
                else:
                    item.in_loop(item.settle, DeadlinePassed(item.deadline.timeout_s))
            self._drop_if_empty(kind)
        return batch, released

    def _batch_size(self, waiting: int, elements: int) -> tuple[int, BatchCloseReason]:
        return self._pace.batch_size(waiting, elements=elements, buckets=self._session.buckets, bound_s=self._bound_s)

    def _next(self) -> deque[WorkItem]:
        """The kind whose turn it is: interactive before bulk, but bulk that waits is not left waiting for ever."""
        oldest = {priority: items for priority in Priority if (items := self._oldest(priority))}
        chosen = min(oldest)
        if len(oldest) > 1 and self._turns >= _TURNS:
            chosen = Priority.BULK
        self._turns = self._turns + 1 if len(oldest) > 1 and chosen is Priority.INTERACTIVE else 0
        return oldest[chosen]

    def _oldest(self, priority: Priority) -> deque[WorkItem] | None:
        kinds = [items for kind, items in self._waiting.items() if kind[0] is priority]
        return min(kinds, key=lambda items: items[0].number, default=None)

    def _run(self, batch: list[WorkItem]) -> BatchRun:
        """In a lane's thread."""
        started = time.perf_counter()
        tensor = batch[0].tensor if len(batch) == 1 else np.concatenate([item.tensor for item in batch])
        names = tuple(dict.fromkeys(name for item in batch for name in item.outputs))
        return BatchRun(self._session.run(tensor, names), started, time.perf_counter() - started)

    def _ended(
        self, batch: list[WorkItem], released: BatchCloseReason, run: Future[BatchRun], *, crowded: bool
    ) -> None:
        """In the lane's thread, which goes on with who waits before those of this batch hear of it.

        crowded: it began while every other lane ran. What a run takes that has the processor to itself tells nothing of
        those: batches form, and the queue drains, while all lanes are busy.
        """
        again: list[WorkItem] = []
        with self._lock:
            self._idle += 1
            if run.exception() is None and crowded:
                elements = sum(item.tensor.size for item in batch)
                self._pace.record(len(batch), elements=elements, seconds=run.result().seconds)
            if run.exception() and len(batch) > 1 and not self._closed:
                again = [item for item in batch if not item.answer.done()]
            for item in again:  # whoever made the batch fail is to fail alone; they are the oldest, so they are next
                item.alone = item.waits = True
            self._launch(BatchCloseReason.NO_MORE, *again)
        if not again:
            batch[0].in_loop(answer, batch, released, run)
