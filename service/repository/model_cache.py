"""Networks in memory while they are asked for: within a budget the least recently used goes, and comes on demand."""

import asyncio
import ctypes
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from models.errors import PackageError, StriateError
from models.image import Array
from service.errors import NotReady, QueueFull
from service.scheduling.batcher import Batcher
from service.scheduling.deadline import Deadline
from service.scheduling.work_item import InferenceResult, Priority

T = TypeVar("T")
Open = Callable[[], Batcher]
OnChange = Callable[[], None]


class ModelCache:
    """The bytes that loaded networks may take together; one is loaded at a time."""

    def __init__(self, limit_bytes: float = math.inf) -> None:
        self.limit_bytes = limit_bytes
        self.on_change: OnChange = lambda: None
        self._loaded: dict[CachedNetwork, None] = {}  # least recently used first
        self._turn = asyncio.Lock()
        # One thread for all of them: what one has freed the next takes again, and a thread apart would keep it.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="loader")

    @property
    def used_bytes(self) -> int:
        return sum(queue.nbytes for queue in self._loaded)

    async def in_thread(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    def close(self) -> None:
        self._thread.shutdown(wait=True)

    def touch(self, queue: "CachedNetwork") -> None:
        """It is the most recently used now."""
        self._loaded[queue] = self._loaded.pop(queue)

    async def load(self, queue: "CachedNetwork") -> None:
        """Loads its network when there is room. Raises what opening it raises; PackageError where it can never fit."""
        if queue.nbytes > self.limit_bytes:
            raise PackageError(
                f"Its weights are {queue.nbytes:,} bytes; STRIATE_LOADED_BYTES allows {self.limit_bytes:,} in all."
            )
        async with self._turn:
            while self.used_bytes + queue.nbytes > self.limit_bytes:
                await self._unload(min(self._loaded, key=lambda loaded: loaded.depth > 0))  # idle ones first
            await queue.open()
            self._loaded[queue] = None
        self.on_change()

    async def forget(self, queue: "CachedNetwork") -> None:
        async with self._turn:
            await self._unload(queue)

    async def _unload(self, queue: "CachedNetwork") -> None:
        self._loaded.pop(queue, None)
        await queue.shut()
        self.on_change()


class CachedNetwork:
    """The queue of a version whose batcher comes and goes with the budget; for its callers it is always there."""

    def __init__(self, budget: ModelCache, opened: Open, *, nbytes: int, length: int) -> None:
        """opened: proves the package anew and warms its network, in a thread. length: items that may wait or run."""
        self.nbytes, self.provider = nbytes, ""
        self._budget, self._opened, self._length = budget, opened, length
        self._batcher: Batcher | None = None
        self._asked = self._running = 0
        self._quiet: asyncio.Future[None] | None = None
        self._loading: asyncio.Task[None] | None = None

    @property
    def depth(self) -> int:
        """Items that wait, for their turn or for the network, or run."""
        return self._asked - self._running + self._batcher.depth if self._batcher else self._asked

    @property
    def loaded(self) -> bool:
        return self._batcher is not None

    async def submit(
        self,
        tensor: Array,
        outputs: Sequence[str],
        *,
        deadline: Deadline,
        priority: Priority = Priority.INTERACTIVE,
        admitted: bool = False,
    ) -> InferenceResult:
        """As Batcher.submit; the first who asks waits for the network. Raises NotReady where it is not what it was."""
        self._asked += 1
        try:
            while (batcher := self._batcher) is None:
                if self._asked > self._length and not admitted:
                    raise QueueFull(self._length)
                await self._wait(deadline)
            self._budget.touch(self)
            self._running += 1
            try:
                return await batcher.submit(tensor, outputs, deadline=deadline, priority=priority, admitted=admitted)
            finally:
                self._running -= 1
                if not self._running and self._quiet and not self._quiet.done():
                    self._quiet.set_result(None)
        finally:
            self._asked -= 1

    def at_hand(self) -> Batcher | None:
        """As Queue.at_hand; it counts as used."""
        if self._batcher:
            self._budget.touch(self)
        return self._batcher

    async def open(self) -> None:
        self._batcher = await self._budget.in_thread(self._opened)
        self.provider = self._batcher.provider

    async def shut(self) -> None:
        """Frees the network when what runs on it has ended; who comes meanwhile waits for the next."""
        batcher, self._batcher = self._batcher, None
        while self._running:
            self._quiet = asyncio.get_running_loop().create_future()
            await self._quiet
        if batcher:
            await self._budget.in_thread(batcher.close)
            del batcher  # the last who knew it: the network goes with it
            await self._budget.in_thread(_give_back)

    def close(self) -> None:
        if self._loading:
            self._loading.cancel()
        if self._batcher:
            self._batcher.close()

    async def leave(self) -> None:
        await self._budget.forget(self)

    async def _wait(self, deadline: Deadline) -> None:
        """Until the network is loaded, by one of all who wait for it."""
        if self._loading is None:
            self._loading = asyncio.create_task(self._budget.load(self))
            self._loading.add_done_callback(self._end)
        try:
            async with deadline.enforced():
                await asyncio.shield(self._loading)
        except StriateError as error:
            if isinstance(error, PackageError):
                raise NotReady(f"The network cannot be loaded again: {error}") from error
            raise

    def _end(self, loading: asyncio.Task[None]) -> None:
        self._loading = None
        if not loading.cancelled():
            loading.exception()  # whoever waited has it


def _give_back() -> None:
    """Has the C library give the system what was freed, which it would keep for later; others know no such call."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
