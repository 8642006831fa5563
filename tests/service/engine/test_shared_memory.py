"""Tests of shared memory: slots, and the copies to and from them."""

import asyncio
import mmap
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.shared_memory import (
    SharedSegment,
    SlotAllocator,
    aligned_offsets,
    anonymous_memory,
    copy_then,
)

PAGE = mmap.PAGESIZE
PAGES = 16


@given(st.lists(st.integers(min_value=-8, max_value=5 * PAGE), max_size=60))
def test_slots_never_overlap_and_none_is_lost(steps: list[int]) -> None:
    """Allocates a positive number of bytes; releases one of the slots for any other number."""
    slots, used = SlotAllocator(PAGES * PAGE), []
    for step in steps:
        if step > 0:
            slot = slots.allocate(step)
            free = sorted(set(range(PAGES)) - {n // PAGE for t in used for n in range(t.start, t.stop, PAGE)})
            needed = -(-step // PAGE)
            runs = [first for first in free if {*range(first, first + needed)} <= set(free)]
            assert slot == (range(runs[0] * PAGE, (runs[0] + needed) * PAGE) if runs else None)  # the lowest, if any
            used += [slot] if slot else []
        elif used:
            slots.release(used.pop(-step % len(used)))
    for slot in used:
        slots.release(slot)
    assert slots.high_water == 0
    assert slots.allocate(PAGES * PAGE) == range(PAGES * PAGE)


def test_arrays_are_aligned() -> None:
    assert aligned_offsets(4096, [(1, 3), (1, 3, 4, 4)]) == [4096, 4160, 4352]
    assert aligned_offsets(64, []) == [64]


def test_memory_has_no_name_and_is_shared_by_descriptor() -> None:
    before = sorted(os.listdir("/dev/shm"))
    descriptor = anonymous_memory()
    mine, theirs = SharedSegment(descriptor), SharedSegment(descriptor)
    os.close(descriptor)
    mine.array(2**35, (2, 3))[:] = np.arange(6).reshape(2, 3)  # far more than the machine has
    assert theirs.array(2**35, (2, 3)).tolist() == [[0, 1, 2], [3, 4, 5]]
    theirs.free_from(2**35)
    assert not mine.array(2**35, (2, 3)).any()
    theirs.write(7, b"sentence")
    assert mine.read(7, 8) == b"sentence"
    assert sorted(os.listdir("/dev/shm")) == before


@pytest.mark.anyio
@pytest.mark.parametrize(("size", "inline"), [(2**20, True), (2**20 + 1, False)])  # a large one runs in a thread
async def test_the_callback_of_a_copy_is_called_once_with_its_result(size: int, inline: bool) -> None:
    results: list[str] = []
    copy_then(lambda: "copied", results.append, size=size)
    assert results == (["copied"] if inline else [])
    async with asyncio.timeout(60):
        while not results:
            await asyncio.sleep(0.001)
    assert results == ["copied"]
