"""Tests of CPU sessions: the number of threads, and their sleep between runs."""

import math
import time

import numpy as np
import psutil
import pytest
from onnx import helper

from models.image import Array
from service.inference import RunGivenUp, open_session
from tests import package_parts


def convolutions(size: tuple[int | str, int | str]) -> bytes:
    """Builds two layers of 3 x 3 kernels, x to y (N, 64, h, w): 74,000 multiply-adds per pixel."""
    layers = [
        helper.make_node("Conv", [x, "w"], [y], pads=[1, 1, 1, 1]) for x, y in (("x", "between"), ("between", "y"))
    ]
    weights = np.full((64, 64, 3, 3), 1e-3, np.float32)
    shape = ("N", 64, *size)
    return package_parts.graph(layers, constants={"w": weights}, inputs=shape, outputs={"y": shape})


def threads_of(network: bytes, image: Array) -> int:
    """Returns the number of threads that a session with four threads has started after one run."""
    before = thread_ids()
    session = open_session(network, device="cpu", threads=4)
    session.run(image, ["y"])
    return len(thread_ids() - before)


def thread_ids() -> set[int]:
    """Returns this process's threads; those of earlier tests may end at any time."""
    return {thread.id for thread in psutil.Process().threads()}


@pytest.mark.parametrize(
    ("size", "side", "threads"),
    [
        ((256, 256), 256, 3),
        (("h", "w"), 256, 3),
        (("h", "w"), 4, 3),
        ((4, 4), 4, 0),
    ],  # the calling thread is the fourth
)
def test_a_network_with_brief_runs_starts_no_threads(
    size: tuple[int | str, int | str], side: int, threads: int
) -> None:
    assert threads_of(convolutions(size), np.ones((1, 64, side, side), np.float32)) == threads


def test_threads_sleep_between_runs() -> None:
    session = open_session(convolutions((256, 256)), device="cpu", threads=4)
    session.run(np.ones((1, 64, 256, 256), np.float32), ["y"])
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.1


def test_a_run_is_given_up_at_its_moment_and_others_go_on() -> None:
    names = ["x", *map(str, range(299)), "y"]
    layers = [
        helper.make_node("Conv", [x, "w"], [y], pads=[1, 1, 1, 1]) for x, y in zip(names[:-1], names[1:], strict=True)
    ]
    shape = ("N", 64, "h", "w")
    network = package_parts.graph(layers, constants={"w": np.zeros((64, 64, 3, 3))}, inputs=shape, outputs={"y": shape})
    session = open_session(network, device="cpu", threads=2)
    large, small = (np.ones((1, 64, side, side), np.float32) for side in (256, 2))  # the large one takes some seconds
    started = time.monotonic()
    with pytest.raises(RunGivenUp):
        session.run(large, ["y"], started + 0.3)
    assert 0.3 < time.monotonic() - started < 2
    for until in (time.monotonic() + 60, math.inf, time.monotonic() + 60):
        assert session.run(small, ["y"], until)["y"].shape == small.shape
