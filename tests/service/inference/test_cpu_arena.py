"""Tests of the CPU arena, in a process of its own: the first limit in a process stays."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from service.inference import cpu_arena, open_session
from service.sandbox.peak_memory import PeakMemory
from tests import tiny

MIB = 2**20
LIMIT = 192 * MIB  # ONNX Runtime takes 32 bytes a pixel here, and 64 on a processor with AVX-512


def main(network: Path) -> None:
    """Runs two sessions beyond what fits; prints how many runs were refused, and the MiB taken at the peak."""
    cpu_arena.limit(LIMIT)
    cpu_arena.limit(1)  # too late
    assert cpu_arena.is_shared()
    sessions = [open_session(network, device="cpu", threads=1) for _ in range(2)]
    peak, refused = PeakMemory(), 0
    for side in (512, 256, 1024, 2048, 4096, 512):
        image = np.zeros((1, 1, side, side), np.float32)
        for session in sessions:
            try:
                session.run(image, ("probabilities",))
            except MemoryError:
                refused += 1
    taken = peak.taken()
    sys.stdout.write(f"{refused} {taken // MIB}\n")


@pytest.mark.slow
def test_all_sessions_together_take_no_more_than_the_limit(tmp_path: Path) -> None:
    package = tiny.blobs(tmp_path)
    program = f"from pathlib import Path; from {__name__} import main; main(Path({str(package.weights)!r}))"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    refused, taken = map(int, told.stdout.split())
    assert 2 <= refused <= 4  # at 4096 px, perhaps at 2048; 512 px fit again afterwards
    assert taken < LIMIT / MIB + 160  # and the largest image with its output
