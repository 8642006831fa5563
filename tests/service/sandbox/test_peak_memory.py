"""Tests of peak memory: what was given back is counted, what was there before is not."""

import numpy as np

from service.sandbox.peak_memory import PeakMemory


def test_what_was_given_back_is_counted() -> None:
    there = np.ones(2**25, np.float32)
    peak = PeakMemory()
    held = np.ones(2**26, np.float32)
    del held
    assert 0.8 * 2**28 < peak.taken() < 1.4 * 2**28
    assert PeakMemory().taken() < 2**26
    assert there.size
