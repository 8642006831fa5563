"""Tests of decoders: a process a thread, and all of them end with the service."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import psutil
import pytest

from models.decode import Probe
from models.errors import NotAnImage
from models.image import Array
from service.errors import SandboxFailed
from service.sandbox.decoders import DecodeProcesses, Decoders, InProcess
from service.scheduling.work import Deadline
from tests.models.decode.files import noise, png
from tests.models.tiny_descriptions import segmenter_fields
from tests.package_parts import spec_of
from tests.service.sandbox.endings import wait_until_ended


@pytest.fixture
def processes() -> Iterator[DecodeProcesses]:
    processes = DecodeProcesses()
    yield processes
    processes.close()


def read(decoders: Decoders, data: bytes, *, admitted: list[Probe] | None = None) -> Array:
    admit = [] if admitted is None else admitted
    with decoders.opened(data, Deadline(time.monotonic() + 60, 60), admit=admit.append) as source:
        return source.read()


def test_both_kinds_of_decoders_give_the_same(processes: DecodeProcesses) -> None:
    for decoders in (InProcess(), processes):
        admitted: list[Probe] = []
        np.testing.assert_array_equal(read(decoders, png(noise(9, 11)), admitted=admitted), noise(9, 11))
        assert [(probe.width, probe.height) for probe in admitted] == [(11, 9)]
        with pytest.raises(NotAnImage):
            read(decoders, b"text")


def test_both_kinds_of_decoders_separate_the_same_objects(processes: DecodeProcesses) -> None:
    deadline, spec = Deadline(time.monotonic() + 60, 60), spec_of(**segmenter_fields())
    for side in (30, 400):  # here, and in a process
        maps = np.random.default_rng(0).random((2, side, side), dtype=np.float32)
        labels = [decoders.separate(maps, spec, deadline) for decoders in (InProcess(), processes)]
        np.testing.assert_array_equal(*labels)


def test_a_thread_has_one_process_for_all_its_files(processes: DecodeProcesses) -> None:
    processes.start()
    before = set(psutil.Process().children(recursive=True))  # the server
    meet = threading.Barrier(3)
    with ThreadPoolExecutor(3, initializer=meet.wait) as threads:
        images = [png(noise(9, 11 + n)) for n in range(12)]
        read_all = list(threads.map(partial(read, processes), images))
        assert len(set(psutil.Process().children(recursive=True)) - before) <= 3
    for n, pixels in enumerate(read_all):
        np.testing.assert_array_equal(pixels, noise(9, 11 + n))


def test_closing_ends_what_a_thread_waits_for(processes: DecodeProcesses) -> None:
    """A stopped process stands for one whose file never ends."""
    with ThreadPoolExecutor(1) as threads:
        threads.submit(read, processes, png(noise(9, 11))).result(timeout=60)
        child = psutil.Process().children(recursive=True)[-1]
        child.suspend()
        waiting = threads.submit(read, processes, png(noise(9, 11)))
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.5)
        processes.close()
        with pytest.raises(SandboxFailed):
            waiting.result(timeout=60)
    wait_until_ended(child.pid)
    with pytest.raises(SandboxFailed):
        read(processes, png(noise(9, 11)))
