"""Tests of peak memory: what was given back is counted, what was there before is not."""

import mmap

import numpy as np

from service.sandbox.peak_memory import PeakMemory, address_space_bytes, resident_bytes


def test_what_was_given_back_is_counted() -> None:
    there = np.ones(2**25, np.float32)
    peak = PeakMemory()
    held = np.ones(2**26, np.float32)
    del held
    assert 0.8 * 2**28 < peak.taken() < 1.4 * 2**28
    assert PeakMemory().taken() < 2**26
    assert there.size


def test_the_address_space_grows_with_what_is_mapped() -> None:
    before = address_space_bytes()
    with mmap.mmap(-1, 2**26):
        assert address_space_bytes() >= before + 2**26


def test_what_is_resident_grows_with_what_is_written() -> None:
    before = resident_bytes()
    with mmap.mmap(-1, 2**26) as memory:
        assert resident_bytes() < before + 2**25
        memory.write(bytes(2**26))
        assert resident_bytes() >= before + 2**26
