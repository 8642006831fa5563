"""Fair pool: a few threads for work of many owners, which take turns."""

import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class FairPool:
    """The owner with the fewest threads comes first, then the one that has waited longest."""

    def __init__(self, threads: int, *, share: int) -> None:
        """share: the threads that one owner may have at a time."""
        self._free, self._share = threads, share
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="fair-pool")
        self._taken: Counter[str] = Counter()
        self._waiting: dict[str, deque[Callable[[], None]]] = {}
        self._lock = threading.Lock()

    def submit(self, owner: str, function: Callable[[], T]) -> Future[T]:
        """Runs it when its turn comes, unless its future is cancelled before."""
        future: Future[T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(function())
            except BaseException as error:  # noqa: BLE001  as an executor does
                future.set_exception(error)

        with self._lock:
            self._waiting.setdefault(owner, deque()).append(run)
            self._start()
        return future

    def close(self) -> None:
        """Waits for what runs; what waits never runs."""
        with self._lock:
            self._waiting.clear()
        self._threads.shutdown()

    def _start(self) -> None:
        """Starts what may run; the lock is held."""
        while self._free and (owners := [owner for owner in self._waiting if self._taken[owner] < self._share]):
            owner = min(owners, key=self._taken.__getitem__)
            queue = self._waiting.pop(owner)
            run = queue.popleft()
            if queue:
                self._waiting[owner] = queue  # after the others
            self._taken[owner] += 1
            self._free -= 1
            self._threads.submit(self._run, owner, run)

    def _run(self, owner: str, run: Callable[[], None]) -> None:
        run()
        with self._lock:
            self._taken[owner] -= 1
            if not self._taken[owner]:
                del self._taken[owner]
            self._free += 1
            self._start()
