"""Slots of shared memory, and the copies to and from them."""

import asyncio
import mmap
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.shared_memory import SharedSegment, Slots, anonymous, copied, placed

PAGE = mmap.PAGESIZE
PAGES = 16


@given(st.lists(st.integers(min_value=-8, max_value=5 * PAGE), max_size=60))
def test_slots_never_overlap_and_nothing_is_lost(steps: list[int]) -> None:
    """A number of bytes takes them; one that is not positive gives back one of those taken."""
    slots, taken = Slots(PAGES * PAGE), []
    for step in steps:
        if step > 0:
            slot = slots.take(step)
            free = sorted(set(range(PAGES)) - {n // PAGE for t in taken for n in range(t.start, t.stop, PAGE)})
            needed = -(-step // PAGE)
            runs = [first for first in free if {*range(first, first + needed)} <= set(free)]
            assert slot == (range(runs[0] * PAGE, (runs[0] + needed) * PAGE) if runs else None)  # the lowest, if any
            taken += [slot] if slot else []
        elif taken:
            slots.give_back(taken.pop(-step % len(taken)))
    for slot in taken:
        slots.give_back(slot)
    assert slots.reach == 0
    assert slots.take(PAGES * PAGE) == range(PAGES * PAGE)


def test_arrays_follow_each_other_aligned() -> None:
    assert placed(4096, [(1, 3), (1, 3, 4, 4)]) == [4096, 4160, 4352]
    assert placed(64, []) == [64]


def test_memory_has_no_name_and_is_shared_by_its_descriptor() -> None:
    before = sorted(os.listdir("/dev/shm"))
    descriptor = anonymous()
    mine, theirs = SharedSegment(descriptor), SharedSegment(descriptor)
    os.close(descriptor)
    mine.array(2**35, (2, 3))[:] = np.arange(6).reshape(2, 3)  # far above what the machine has
    assert theirs.array(2**35, (2, 3)).tolist() == [[0, 1, 2], [3, 4, 5]]
    theirs.forget(2**35)
    assert not mine.array(2**35, (2, 3)).any()
    theirs.write(7, b"sentence")
    assert mine.read(7, 8) == b"sentence"
    assert sorted(os.listdir("/dev/shm")) == before


@pytest.mark.anyio
@pytest.mark.parametrize(("size", "at_once"), [(2**20, True), (2**20 + 1, False)])  # a large one is for a thread
async def test_what_comes_after_a_copy_comes_once_and_with_its_result(size: int, at_once: bool) -> None:
    results: list[str] = []
    copied(lambda: "copied", results.append, size=size)
    assert results == (["copied"] if at_once else [])
    async with asyncio.timeout(60):
        while not results:
            await asyncio.sleep(0.001)
    assert results == ["copied"]
