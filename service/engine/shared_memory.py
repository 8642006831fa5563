"""Shared memory of a front end and the engine. It has no name, so the system frees it when both have ended."""

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

ADDRESSES = 2**36  # bytes of address space per front end; only written pages occupy memory
RETAINED_BYTES = 2**28  # that an idle front end keeps
ALIGNMENT = 64
_INLINE_COPY_BYTES = 2**20  # a larger copy would block the event loop for a millisecond or longer


class SharedSegment:
    """A mapping of the memory; arrays are views of it, and keep it alive."""

    def __init__(self, descriptor: int) -> None:
        """descriptor: of a file of ADDRESSES bytes; it may be closed afterwards."""
        self._map = mmap.mmap(descriptor, ADDRESSES)

    def array(self, offset: int, shape: Shape) -> Array:
        """Returns a float32 view."""
        view: Array = np.ndarray(shape, np.float32, self._map, offset)
        return view

    def write(self, offset: int, data: bytes) -> None:
        self._map[offset : offset + len(data)] = data

    def read(self, offset: int, size: int) -> bytes:
        return self._map[offset : offset + size]

    def free_from(self, offset: int) -> None:
        """Returns the memory from the offset on to the system; offset: a multiple of the page size."""
        self._map.madvise(mmap.MADV_REMOVE, offset)


def anonymous_memory() -> int:
    """Returns a descriptor of ADDRESSES bytes of memory without a name."""
    descriptor = os.memfd_create("striate")
    os.ftruncate(descriptor, ADDRESSES)
    return descriptor


class SlotAllocator:
    """The slots in use. The lowest free bytes are allocated first: they were used recently, and are in memory."""

    def __init__(self, size: int = ADDRESSES) -> None:
        self._whole = range(size)
        self._free = [self._whole]  # ascending, none empty, none adjacent
        self.high_water = 0  # one past the highest byte allocated since all were free

    def allocate(self, nbytes: int) -> range | None:
        """Allocates whole pages for at least `nbytes`; returns None if no free range is large enough."""
        needed = -(-nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
        for n, free in enumerate(self._free):
            if len(free) >= needed:
                self._free[n : n + 1] = [free[needed:]] if len(free) > needed else []
                self.high_water = max(self.high_water, free.start + needed)
                return free[:needed]
        return None

    def release(self, slot: range) -> None:
        """Releases a slot, and merges it with adjacent free ranges."""
        n = bisect_left(self._free, slot.start, key=lambda free: free.start)
        if n < len(self._free) and self._free[n].start == slot.stop:
            slot = range(slot.start, self._free.pop(n).stop)
        if n and self._free[n - 1].stop == slot.start:
            n -= 1
            slot = range(self._free.pop(n).start, slot.stop)
        self._free.insert(n, slot)
        if slot == self._whole:
            self.high_water = 0


def nbytes(shape: Shape) -> int:
    return 4 * prod(shape)


def aligned_offsets(offset: int, shapes: Sequence[Shape]) -> list[int]:
    """Returns the offsets of consecutive arrays of these shapes, followed by the offset of their end."""
    offsets = [offset]
    for shape in shapes:
        offsets.append(offsets[-1] + -(-nbytes(shape) // ALIGNMENT) * ALIGNMENT)
    return offsets


def copy_then(copy: Callable[[], T], then: Callable[[T], None], *, size: int) -> None:
    """Copies `size` bytes, in a thread if they are many, and then calls `then` in the event loop.

    It is not awaited, so that no cancelled caller can end it: a slot is released only after its copy has ended.
    """
    if size <= _INLINE_COPY_BYTES:
        then(copy())
    else:
        copying = asyncio.get_running_loop().run_in_executor(None, copy)
        copying.add_done_callback(lambda done: then(done.result()))
