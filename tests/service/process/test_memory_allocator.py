"""Tests of the memory allocator: what many threads have freed is not kept."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from service.process import memory_allocator
from service.sandbox.peak_memory import resident_bytes
if sys.argv[1] == "installed":
    memory_allocator.install()
before = resident_bytes()
def work(n):
    for mib in (30, 20, 12, 7, 5):
        kept = [np.ones(mib * 2**20, np.uint8) for _ in range(2)]
        small = np.ones(2**18, np.uint8)
        del kept, small
with ThreadPoolExecutor(8) as threads:
    list(threads.map(work, range(64)))
    print((resident_bytes() - before) // 2**20)
"""


@pytest.mark.parametrize(("how", "least", "most"), [("installed", 0, 40), ("not", 60, 10_000)])
def test_what_is_freed_goes_back(how: str, least: int, most: int) -> None:
    kept = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    assert least <= int(kept.stdout) <= most
