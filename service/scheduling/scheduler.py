"""Scheduler: decides where each step of an image's work runs, in the event loop, in a worker thread or in a batch."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Protocol, TypeVar

from models.image import Array
from service.errors import QueueFull
from service.scheduling.work import PIXELS_A_SECOND, Deadline, Priority, Work
from service.scheduling.work_item import InferenceResult
from service.settings import Settings

T = TypeVar("T")
S = TypeVar("S")
BRIEF_PIXELS = 2**16  # a step over fewer pixels takes less time than a change of thread
_GRACE_S = 2.0  # for a thread to notice that its image's deadline has passed
SHORT_PIXELS = PIXELS_A_SECOND // 10


class Prepared(Protocol):
    """What a network can run."""

    @property
    def batch(self) -> Array:
        """(1, C, H, W) float32."""


P = TypeVar("P", bound=Prepared)


class Network(Protocol):
    """A network behind its batcher, in this process or in another."""

    async def submit(self, tensor: Array, outputs: Sequence[str], work: Work) -> InferenceResult:
        """See Batcher.submit."""

    def run_inline(self, tensor: Array, outputs: Sequence[str], work: Work) -> InferenceResult | None:
        """See Batcher.run_inline. Returns None too where the network is in another process or not loaded."""

    def run_brief(self, tensor: Array, outputs: Sequence[str], work: Work) -> InferenceResult | None:
        """See Batcher.run_brief. Returns None too where the network is in another process or not loaded."""


class Workers:
    """A number of threads, which take steps in the order of their arrival."""

    def __init__(self, count: int, *, name: str) -> None:
        self._count = count
        self._threads = ThreadPoolExecutor(count, thread_name_prefix=name)
        self._deadlines: dict[int, Deadline] = {}  # of what runs, by the thread

    @property
    def are_late(self) -> bool:
        """Whether every thread goes on beyond its image's deadline, so that none can take a step."""
        latest = time.monotonic() - _GRACE_S
        return sum(deadline.at < latest for deadline in list(self._deadlines.values())) >= self._count

    def submit(self, job: list[Callable[[], T]], deadline: Deadline) -> Future[T]:
        """Runs the only item of a list, unless it has been removed: the future has been cancelled then."""
        return self._threads.submit(self._run, job, deadline)

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _run(self, job: list[Callable[[], T]], deadline: Deadline) -> T:
        thread = threading.get_ident()
        self._deadlines[thread] = deadline
        try:
            return job.pop()()
        finally:
            del self._deadlines[thread]


class Scheduler:
    """Places work on the event loop, on worker threads and on networks.

    A thread goes on with an image whose caller has gone: the image's memory and its place are held until it ends. What
    may keep it long, decoding, is killed at the deadline in its own process.
    """

    def __init__(self, settings: Settings) -> None:
        self.queue_length = settings.queue_length
        self._count = settings.worker_threads
        # Apart, so that a small image never waits until large ones are decoded, or waited for.
        self._short, self._long = Workers(self._count, name="image"), Workers(self._count, name="large-image")
        self._preparing = 0
        self._lock = threading.Lock()
        # One worker is reserved for interactive requests.
        self._bulk = asyncio.Semaphore(max(1, settings.worker_threads - 1))

    @property
    def preparing(self) -> int:
        """Images that wait for a worker, or are being prepared by one."""
        return self._preparing

    @property
    def has_worker(self) -> bool:
        """Whether short and long steps each have a worker; not one that goes on beyond its deadline."""
        return not (self._short.are_late or self._long.are_late)

    def close(self) -> None:
        self._short.close()
        self._long.close()

    async def prepare(self, step: Callable[[], T], work: Work, *, pixels: float) -> T:
        """Runs the step that makes an image ready for its network. pixels: about how many it goes through.

        Raises QueueFull: images that wait for a worker are bounded too.
        """
        if pixels <= BRIEF_PIXELS:
            return step()
        if work.priority is Priority.INTERACTIVE:
            return await self._in_worker(step, work, pixels, self._take_place())
        await self._bulk.acquire()
        release = partial(asyncio.get_running_loop().call_soon_threadsafe, self._bulk.release)
        try:
            free_place = self._take_place()
        except QueueFull:
            self._bulk.release()
            raise
        return await self._in_worker(step, work, pixels, free_place, release)

    async def prepare_and_run(
        self, step: Callable[[], P | None], network: Network, outputs: Sequence[str], work: Work, *, pixels: float
    ) -> tuple[P, InferenceResult] | tuple[None, None]:
        """Runs the step, and the network on the batch of one image (1, C, H, W) that it prepares, if it does.

        Uncontended, both run on one worker thread: each change of thread takes as long as a small image does.
        """

        def both() -> tuple[P | None, InferenceResult | None]:
            prepared = step()
            return prepared, network.run_inline(prepared.batch, outputs, work) if prepared else None

        result = None
        if pixels <= BRIEF_PIXELS:
            prepared = step()
        elif self._preparing or self._count == 1 or work.priority is Priority.BULK:
            prepared = await self.prepare(step, work, pixels=pixels)
        else:
            prepared, result = await self._in_worker(both, work, pixels, self._take_place())
        if prepared is None:
            return None, None
        return prepared, result or await self.run(network, prepared.batch, outputs, work)

    async def run(self, network: Network, tensor: Array, outputs: Sequence[str], work: Work) -> InferenceResult:
        """Runs a network on tensor (1, C, H, W): in the event loop if it is brief, else in its batcher."""
        if result := network.run_brief(tensor, outputs, work):
            await asyncio.sleep(0)  # a thousand brief tiles would leave the loop to nobody else
            return result
        return await network.submit(tensor, outputs, work)

    async def compute(self, step: Callable[[], T], work: Work, *, pixels: float) -> T:
        """Runs a step after the network."""
        return step() if pixels <= BRIEF_PIXELS else await self._in_worker(step, work, pixels)

    async def fan_out(self, function: Callable[[S], Awaitable[T]], items: Iterable[S], *, most: int) -> list[T]:
        """Awaits function(item) of each, at most `most` at a time and never more than half the queue.

        The first that fails ends them all, as a cancellation does; its error is raised.
        """
        slots = asyncio.Semaphore(max(1, min(most, self.queue_length // 2)))

        async def one(item: S) -> T:
            async with slots:
                return await function(item)

        running = [asyncio.create_task(one(item)) for item in items]
        try:
            return await asyncio.gather(*running)
        finally:
            for each in running:
                each.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _take_place(self) -> Callable[[], None]:
        """Counts an image that waits for a worker, or is prepared by one; returns what ends that. Raises QueueFull."""
        with self._lock:
            if self._preparing >= self.queue_length:
                raise QueueFull(self.queue_length)
            self._preparing += 1
        return self._free_place

    def _free_place(self) -> None:
        with self._lock:
            self._preparing -= 1

    async def _in_worker(self, step: Callable[[], T], work: Work, pixels: float, *at_end: Callable[[], object]) -> T:
        """Runs it in a worker. at_end: called when it has ended, whether or not its caller still waits."""
        job = [step]
        work.reservation.retain()
        running = (self._short if pixels <= SHORT_PIXELS else self._long).submit(job, work.deadline)
        for call in (work.reservation.release, *at_end):
            running.add_done_callback(partial(_call, call))
        try:
            return await asyncio.wrap_future(running)
        finally:
            job.clear()  # the pool keeps a cancelled job until its turn comes, but then without the image
            del running  # it refers to an error, which refers to this frame


def _call(function: Callable[[], object], _: Future[T]) -> None:
    function()
