"""Memory of images whose callers have left while they are decoded: it counts until the decoding has ended."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from tests.service.image_files import form, grey, tiff
from tests.service.service_processes import until
from tests.serving import served

pytestmark = pytest.mark.slow
MIB = 2**20
ALLOWANCE = 2200 * MIB
CONSTANT = 1000 * MIB  # of the service without images, its decoders' code and the file of each
VAST = tiff(np.zeros((5000, 5000, 4), np.float64), tile=(256, 256), compression="zlib", photometric="rgb")


def pss_bytes(process: psutil.Process) -> int:
    """Memory of a process and its descendants; what they share counts once."""
    total = 0
    for each in [process, *process.children(recursive=True)]:
        try:
            total += each.memory_full_info().pss
        except psutil.Error:
            continue
    return total


def test_callers_who_leave_take_no_more_than_the_budget(root: Path, tmp_path: Path) -> None:
    variables = {"STRIATE_MODELS": str(root), "STRIATE_IMAGE_BYTES": str(ALLOWANCE), "STRIATE_WORKER_THREADS": "6"}
    with served(tmp_path / "log", **variables) as (http, process):

        def leave() -> None:
            """The first is let in; the others are refused, or have left by then."""
            with httpx.Client(base_url=http.base_url) as own, suppress(httpx.TimeoutException):
                told = own.post("/predict", files=form(VAST), data={"model": "brightness"}, timeout=0.25)
                assert told.status_code == 503

        def is_free() -> bool:
            time.sleep(0.5)  # so that asking does not hold up what it waits for
            return http.post("/predict", files=form(VAST), data={"model": "brightness"}).status_code == 200

        callers = [threading.Thread(target=leave) for _ in range(8)]
        for caller in callers:
            caller.start()
        with ThreadPoolExecutor(1) as pool:
            freed = pool.submit(until, is_free)  # let in when the first has been decoded, and decoded then
            most = 0
            while not freed.done():
                most = max(most, pss_bytes(psutil.Process(process.pid)))
                answer = http.post("/predict", files=form(grey(200)), data={"model": "brightness"})
                assert answer.json()["classes"][0]["label"] == "bright"
                time.sleep(0.05)
            freed.result()
        for caller in callers:
            caller.join()
    assert most < ALLOWANCE + CONSTANT
