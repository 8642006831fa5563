"""The memory that bodies, images and answers may take together, reserved by their size before any of it is taken."""

import asyncio
import threading
from contextlib import suppress
from typing import NamedTuple

from models.spec import ModelSpec
from service.errors import AnswerTooLarge, ImageTooLarge, MemoryFull, TooManyBytes
from service.scheduling.memory_plan import SMALL_ROOM_BYTES, MemoryPlan
from service.settings import Settings

SMALL_BYTES = 2**21  # up to here a request has room of its own: a small image gets its turn beside large ones
TINY_BYTES = 2**16  # up to here a body, an image or an answer is not counted: the number of connections bounds those
_COPIES = 2  # of the decoded image at most, while it is decoded and prepared
# Upper bounds in bytes for a pixel, for each channel that a network of any size sees, and for each of its maps. Of 17
# kinds of image with 2000 x 2000 pixels, each took less: 10 to 43 bytes a pixel for a network of a fixed size, 64 to
# 98 for `nuclei`, and its answers in seven formats at most 112.
_PIXEL_BYTES, _CHANNEL_BYTES, _MAP_BYTES = 24, 18, 24


class Held(NamedTuple):
    """Bytes that somebody has of the budget, and of the room of small requests."""

    large: int = 0
    small: int = 0

    @classmethod
    def of(cls, nbytes: int) -> "Held":
        return cls(large=nbytes) if nbytes > SMALL_BYTES else cls(small=nbytes)

    @property
    def total(self) -> int:
        return self.large + self.small

    def plus(self, other: "Held") -> "Held":
        return Held(self.large + other.large, self.small + other.small)

    def minus(self, other: "Held") -> "Held":
        return Held(self.large - other.large, self.small - other.small)


NOTHING = Held()


class Waiter(NamedTuple):
    """Somebody who waits for room. more: what he lacks. called: when there may be room."""

    more: Held
    loop: asyncio.AbstractEventLoop
    called: asyncio.Future[None]

    def call(self) -> None:
        with suppress(RuntimeError):  # the loop has ended
            self.loop.call_soon_threadsafe(_settle, self.called)


class MemoryBudget:
    """The bytes that large requests may take at the same time, and beside them small ones; for any thread."""

    def __init__(self, total_bytes: int) -> None:
        self.total_bytes = total_bytes
        self._reserved = NOTHING
        self._waiting: list[Waiter] = []
        self._lock = threading.Lock()

    @classmethod
    def of(cls, settings: Settings) -> "MemoryBudget":
        """Raises TooLittleMemory."""
        return cls(MemoryPlan.of(settings).images)

    @property
    def reserved_bytes(self) -> int:
        return self._reserved.large

    @property
    def small_bytes(self) -> int:
        return self._reserved.small

    def body(self, nbytes: int, *, unpacked: bool = False) -> int:
        """Returns the bytes that a body needs, or with what it becomes. Raises TooManyBytes if it can never fit."""
        if nbytes > self.total_bytes:
            raise TooManyBytes(self.total_bytes, unpacked=unpacked)
        return nbytes

    def image(self, pixels: int, spec: ModelSpec, *, pixel_bytes: int, body_bytes: int = 0) -> int:
        """Returns the bytes that an image needs. body_bytes: of its file, which stays in memory.

        pixels, pixel_bytes: how many, and how large, when decoded. Raises ImageTooLarge if it can never fit.
        """
        need = needed_bytes(pixels, spec, pixel_bytes=pixel_bytes)
        if need + body_bytes > self.total_bytes:
            raise ImageTooLarge(pixels, need=need + body_bytes, limit=self.total_bytes)
        return need

    def answer(self, nbytes: int) -> int:
        """Returns the bytes that a request needs with its answer. Raises AnswerTooLarge if they can never fit."""
        if nbytes > self.total_bytes:
            raise AnswerTooLarge(nbytes, limit=self.total_bytes)
        return nbytes

    def resize(self, before: Held, after: Held) -> None:
        """Changes what one request, or one image, has reserved. Raises MemoryFull, and then changes nothing."""
        more = after.minus(before)
        with self._lock:
            if not self._fits(self._reserved, more):
                raise MemoryFull
            self._reserved = self._reserved.plus(more)
            if min(more) < 0:
                self._call_waiting()

    def _fits(self, reserved: Held, more: Held) -> bool:
        """Whether somebody may have more; less is never refused."""
        large, small = reserved.plus(more)
        return (more.large <= 0 or large <= self.total_bytes) and (more.small <= 0 or small <= SMALL_ROOM_BYTES)

    async def room(self, more: Held, *, until: float, first: bool = False) -> bool:
        """Waits until this much more is free, or for a moment of the event loop's clock; returns whether it is.

        first: before those who wait already, as an answer does before images: it leaves, and gives room.
        """
        loop = asyncio.get_running_loop()
        waiting = Waiter(more, loop, loop.create_future())
        with self._lock:
            self._waiting.insert(0 if first else len(self._waiting), waiting)
            self._call_waiting()
        try:
            async with asyncio.timeout_at(until):
                await waiting.called
                return True
        except TimeoutError:
            return False
        finally:
            with self._lock:
                if waiting in self._waiting:
                    self._waiting.remove(waiting)

    def _call_waiting(self) -> None:
        """Calls those for whom there is room, the first first; the lock is held."""
        reserved = self._reserved
        for waiting in list(self._waiting):
            if self._fits(reserved, waiting.more):
                reserved = reserved.plus(waiting.more)
                self._waiting.remove(waiting)
                waiting.call()


def _settle(called: asyncio.Future[None]) -> None:
    if not called.done():
        called.set_result(None)


def needed_bytes(pixels: int, spec: ModelSpec, *, pixel_bytes: int) -> int:
    """Returns an upper bound for one image, its tensor and its maps; a network of a fixed size has small ones."""
    of_image = _PIXEL_BYTES + _COPIES * pixel_bytes
    if spec.input.size is not None:
        return pixels * of_image
    return pixels * (of_image + _CHANNEL_BYTES * spec.input.channels + _MAP_BYTES * len(spec.channel_names))
