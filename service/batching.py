"""The bounded queue in front of each session: one thread runs the network, in the order of arrival."""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from models.image import Array
from service.deadline import Deadline
from service.errors import QueueFull
from service.session import Session


@dataclass(frozen=True, slots=True)
class Ran:
    """One item's outputs, each (1, ...), how long it waited and ran, and how many ran in the same batch."""

    outputs: dict[str, Array]
    queue_s: float
    infer_s: float
    batch_size: int = 1


class Batcher:
    """Takes items from many requests to one session. A failing or cancelled item affects no other."""

    def __init__(self, session: Session, *, length: int) -> None:
        self._session = session
        self._length = length
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="session")
        self._pending = 0

    @property
    def depth(self) -> int:
        """Items that wait or run."""
        return self._pending

    async def submit(self, tensor: Array, outputs: Sequence[str], *, deadline: Deadline, admitted: bool = False) -> Ran:
        """tensor (1, C, H, W) float32 -> its outputs. admitted: a later tile of an image that was let in.

        Raises QueueFull at once, DeadlinePassed when it is time; an item that has not begun by then never runs.
        """
        if self._pending >= self._length and not admitted:
            raise QueueFull(self._length)
        self._pending += 1
        waiting = asyncio.get_running_loop().run_in_executor(
            self._thread, self._run, tensor, outputs, time.perf_counter()
        )
        waiting.add_done_callback(self._finished)
        async with deadline.enforced():
            return await waiting

    def close(self) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _run(self, tensor: Array, outputs: Sequence[str], submitted: float) -> Ran:
        started = time.perf_counter()
        answer = self._session.run(tensor, outputs)
        return Ran(answer, queue_s=started - submitted, infer_s=time.perf_counter() - started)

    def _finished(self, _: object) -> None:
        self._pending -= 1
