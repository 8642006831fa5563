"""Threads for large bodies, beside those that images wait for."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from service.scheduling.memory_budget import SMALL_BYTES
from service.scheduling.work import Reservation

T = TypeVar("T")
INLINE_BYTES = 2**18  # a larger body would block the event loop for a millisecond


class BodyThreads:
    """Runs what goes through whole bodies: few at a time, so that each gets the memory it needs to its end.

    Bodies up to SMALL_BYTES have a thread of their own: they do not wait behind those that become large.
    """

    def __init__(self, count: int) -> None:
        """count: threads for large bodies."""
        self._large = ThreadPoolExecutor(count, thread_name_prefix="body")
        self._small = ThreadPoolExecutor(1, thread_name_prefix="small-body")

    async def run(self, function: Callable[[], T], reservation: Reservation, *, nbytes: float) -> T:
        """Returns function(), at once if it goes through few bytes.

        The reservation is held until the thread ends, which may be after its caller has gone.
        """
        if nbytes <= INLINE_BYTES:
            return function()
        reservation.retain()
        running = (self._small if nbytes <= SMALL_BYTES else self._large).submit(function)
        running.add_done_callback(lambda _: reservation.release())
        try:
            return await asyncio.wrap_future(running)
        finally:
            del running  # it refers to an error, which refers to this frame
