"""Model cache: keeps the most recently used networks loaded within a memory budget, and loads others on demand."""

import asyncio
import ctypes
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple, TypeVar

from models.errors import PackageError, StriateError
from models.image import Array
from service.errors import NotReady, QueueFull
from service.repository.state import UseCounter
from service.scheduling.batcher import Batcher
from service.scheduling.work import Deadline, Work
from service.scheduling.work_item import InferenceResult

T = TypeVar("T")
BatcherLoader = Callable[[], Batcher]
OnChange = Callable[[], None]
RunInline = Callable[[Array, Sequence[str], Work], InferenceResult | None]
UNLOADING_S = 10.0  # after which a load no longer waits for another network's memory


class ModelCache:
    """The loaded networks, and the bytes that they may occupy together; one network is loaded at a time."""

    def __init__(self, limit_bytes: float = math.inf) -> None:
        self.limit_bytes = limit_bytes
        self.on_change: OnChange = lambda: None
        self._loaded: set[CachedNetwork] = set()
        self._unloading: dict[asyncio.Task[None], Unloading] = {}
        self._lock = asyncio.Lock()
        # A single thread for all: memory freed by one network is reused by the next, and threads keep what they free.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="loader")

    @property
    def used_bytes(self) -> int:
        """The bytes of the networks that are loaded, and of those whose last runs have not ended."""
        leaving = (unloading.network for unloading in self._unloading.values())
        return sum(network.nbytes for network in (*self._loaded, *leaving))

    async def run_in_thread(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    def close(self) -> None:
        self._thread.shutdown(wait=True)

    async def load(self, network: "CachedNetwork") -> None:
        """Loads a network, evicting others if needed.

        Raises the loader's errors; PackageError if it can never fit; NotReady while the memory of others is not freed.
        """
        if network.nbytes > self.limit_bytes:
            raise PackageError(
                f"The weights have {network.nbytes:,} bytes; STRIATE_LOADED_BYTES allows {self.limit_bytes:,} in total."
            )
        async with self._lock:
            await self._make_room(network.nbytes)
            await network.load()
            self._loaded.add(network)
        self.on_change()

    async def unload(self, network: "CachedNetwork") -> None:
        """Unloads a network; others may be loaded before its last run has ended."""
        async with self._lock:
            unloading = self._unload(network)
        await unloading

    async def _make_room(self, nbytes: int) -> None:
        while self.used_bytes + nbytes > self.limit_bytes:
            now = time.monotonic()
            ending = {task: each.late_at - now for task, each in self._unloading.items() if each.late_at > now}
            if not ending:
                if not self._loaded:
                    raise NotReady("A network that is being unloaded still runs, and its memory is not free yet.")
                idle_first = min(self._loaded, key=lambda loaded: (loaded.depth > 0, loaded.last_used))
                ending = {self._unload(idle_first): UNLOADING_S}
            await asyncio.wait(ending, timeout=min(ending.values()), return_when=asyncio.FIRST_COMPLETED)

    def _unload(self, network: "CachedNetwork") -> asyncio.Task[None]:
        self._loaded.discard(network)
        task = asyncio.create_task(network.unload())
        self._unloading[task] = Unloading(network, time.monotonic() + UNLOADING_S)
        task.add_done_callback(self._finish_unloading)
        return task

    def _finish_unloading(self, task: asyncio.Task[None]) -> None:
        del self._unloading[task]
        self.on_change()


class Unloading(NamedTuple):
    """A network whose last runs are awaited. late_at: when a load stops waiting for them."""

    network: "CachedNetwork"
    late_at: float


class CachedNetwork:
    """A version's batcher that is loaded and unloaded within the budget, transparently to its callers.

    run_inline, run_brief: the batcher's own while it is loaded; otherwise they return None.
    """

    def __init__(self, cache: ModelCache, loader: BatcherLoader, *, nbytes: int, length: int) -> None:
        """loader: verifies the package and warms up its network, in a thread. length: items that may wait or run."""
        self.nbytes, self.provider = nbytes, ""
        self._cache, self._loader, self._length = cache, loader, length
        self._batcher: Batcher | None = None
        self.run_inline: RunInline = _not_loaded
        self.run_brief: RunInline = _not_loaded
        self._waiting = 0
        self._use = UseCounter()
        self._loading: asyncio.Task[None] | None = None

    @property
    def depth(self) -> int:
        """The items that run, or wait for their turn or for the network."""
        return self._waiting + (self._batcher.depth if self._batcher else 0)

    @property
    def loaded(self) -> bool:
        return self._batcher is not None

    @property
    def last_used(self) -> float:
        """See Batcher.last_used."""
        return self._batcher.last_used if self._batcher else 0.0

    async def submit(self, tensor: Array, outputs: Sequence[str], work: Work) -> InferenceResult:
        """Runs as Batcher.submit does; the first caller loads the network. Raises NotReady if it has changed since."""
        while (batcher := self._batcher) is None:
            self._waiting += 1
            try:
                if self._waiting > self._length and not work.has_place:
                    raise QueueFull(self._length)
                await self._wait_until_loaded(work.deadline)
            finally:
                self._waiting -= 1
        with self._use:
            return await batcher.submit(tensor, outputs, work)

    async def load(self) -> None:
        self._batcher = batcher = await self._cache.run_in_thread(self._loader)
        self.provider, self.run_inline, self.run_brief = batcher.provider, batcher.run_inline, batcher.run_brief

    async def unload(self) -> None:
        """Frees the network once its running items have ended; new requests wait for the next load."""
        batcher, self._batcher = self._batcher, None
        use, self._use = self._use, UseCounter()
        self.run_inline = self.run_brief = _not_loaded
        await use.wait_until_unused()
        if batcher:
            thread = ThreadPoolExecutor(1, thread_name_prefix="unloading")  # its own, since a run may never end
            await asyncio.get_running_loop().run_in_executor(thread, batcher.close)
            thread.shutdown()  # drops its reference
            del batcher  # the last reference, which frees the network
            await self._cache.run_in_thread(_trim_heap)

    def close(self) -> None:
        if self._loading:
            self._loading.cancel()
        if self._batcher:
            self._batcher.close()

    async def aclose(self) -> None:
        await self._cache.unload(self)

    async def _wait_until_loaded(self, deadline: Deadline) -> None:
        """Waits until the network is loaded, by a single task for all waiting requests."""
        if self._loading is None:
            self._loading = asyncio.create_task(self._cache.load(self))
            self._loading.add_done_callback(self._finish_loading)
        try:
            async with deadline.enforced():
                await asyncio.shield(self._loading)
        except StriateError as error:
            if isinstance(error, PackageError):
                raise NotReady(f"The network cannot be loaded again: {error}") from error
            raise

    def _finish_loading(self, loading: asyncio.Task[None]) -> None:
        self._loading = None
        if not loading.cancelled():
            loading.exception()  # marks it as retrieved: the waiting requests raise it


def _not_loaded(tensor: Array, outputs: Sequence[str], work: Work) -> None:
    """Stands in for run_inline and run_brief while the network is not loaded; submit() then loads it."""


def _trim_heap() -> None:
    """Has glibc return freed memory to the system, which it would keep; other C libraries have no such call."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
