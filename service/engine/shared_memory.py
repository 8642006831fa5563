"""Memory that a front end and the engine both map. It has no name, so it goes when the last of them goes, however."""

import asyncio
import mmap
import os
from bisect import bisect_left
from collections.abc import Callable, Sequence
from math import prod
from typing import TypeVar

import numpy as np

from models.image import Array

T = TypeVar("T")
Shape = tuple[int, ...]

ADDRESSES = 2**36  # bytes that a front end may use at once; the system gives memory only where something is written
KEPT = 2**28  # bytes that stay with a front end of which nothing is in use
ALIGNMENT = 64
_AT_ONCE = 2**20  # a copy of more bytes would hold up the event loop for a millisecond or longer


class SharedSegment:
    """The mapping; arrays are views of it, and keep it."""

    def __init__(self, descriptor: int) -> None:
        """descriptor: of a file of ADDRESSES bytes; it may be closed then."""
        self._map = mmap.mmap(descriptor, ADDRESSES)

    def array(self, offset: int, shape: Shape) -> Array:
        """float32."""
        found: Array = np.ndarray(shape, np.float32, self._map, offset)
        return found

    def write(self, offset: int, data: bytes) -> None:
        self._map[offset : offset + len(data)] = data

    def read(self, offset: int, size: int) -> bytes:
        return self._map[offset : offset + size]

    def forget(self, offset: int) -> None:
        """Gives the system back what lies from the offset on, a multiple of the page size."""
        self._map.madvise(mmap.MADV_REMOVE, offset)


def anonymous() -> int:
    """A descriptor of ADDRESSES bytes of memory that nobody else can find."""
    descriptor = os.memfd_create("striate")
    os.ftruncate(descriptor, ADDRESSES)
    return descriptor


class Slots:
    """Which bytes are in use. The lowest free ones are given: they were used a moment ago, and are in memory."""

    def __init__(self, size: int = ADDRESSES) -> None:
        self._whole = range(size)
        self._free = [self._whole]  # ascending, none empty, no two touch
        self.reach = 0  # one past the highest byte given since all were free

    def take(self, nbytes: int) -> range | None:
        """At least so many bytes, in whole pages; None where there are none so many in a row."""
        needed = -(-nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
        for n, free in enumerate(self._free):
            if len(free) >= needed:
                self._free[n : n + 1] = [free[needed:]] if len(free) > needed else []
                self.reach = max(self.reach, free.start + needed)
                return free[:needed]
        return None

    def give_back(self, slot: range) -> None:
        n = bisect_left(self._free, slot.start, key=lambda free: free.start)
        if n < len(self._free) and self._free[n].start == slot.stop:
            slot = range(slot.start, self._free.pop(n).stop)
        if n and self._free[n - 1].stop == slot.start:
            n -= 1
            slot = range(self._free.pop(n).start, slot.stop)
        self._free.insert(n, slot)
        if slot == self._whole:
            self.reach = 0


def nbytes(shape: Shape) -> int:
    return 4 * prod(shape)


def placed(offset: int, shapes: Sequence[Shape]) -> list[int]:
    """Where arrays of these shapes lie that follow each other from an offset on; and last, where they end."""
    places = [offset]
    for shape in shapes:
        places.append(places[-1] + -(-nbytes(shape) // ALIGNMENT) * ALIGNMENT)
    return places


def copied(copy: Callable[[], T], then: Callable[[T], None], *, size: int) -> None:
    """Copies `size` bytes, in a thread if they are many, and then goes on in the event loop.

    Nobody awaits it, so that nobody who leaves can end it: a slot is given back when its copy has ended.
    """
    if size <= _AT_ONCE:
        then(copy())
    else:
        copying = asyncio.get_running_loop().run_in_executor(None, copy)
        copying.add_done_callback(lambda done: then(done.result()))
