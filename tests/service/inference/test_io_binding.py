"""Tests of I/O binding in host memory: everything except the GPU itself."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.inference.device_memory import HostMemory
from service.inference.io_binding import BoundSession
from service.inference.onnxruntime import CPU, InferenceFailed, load
from tests import package_parts, tiny

BUCKETS = (1, 2, 4)


@pytest.fixture
def blobs(tmp_path: Path) -> Any:
    """Loads a network that takes any size: probabilities = sigmoid(intensity - ...)."""
    return load(tiny.blobs(tmp_path).weights, threads=1, providers=[CPU])


def bound(session: Any, *, idle_limit_bytes: int = 2**30) -> BoundSession:
    return BoundSession(session, memory=HostMemory(), buckets=BUCKETS, idle_limit_bytes=idle_limit_bytes)


def images(count: int, *, side: int, seed: int = 0) -> np.ndarray:
    """Returns (count, 1, side, side) float32 near the blobs' thresholds."""
    return np.random.default_rng(seed).uniform(120, 200, (count, 1, side, side)).astype(np.float32)


def plain_run(session: Any, batch: np.ndarray) -> np.ndarray:
    return session.run(["probabilities"], {"x": batch})[0]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 9])  # a bucket, between two, beyond the last
def test_outputs_equal_those_of_a_plain_run(blobs: Any, count: int) -> None:
    session = bound(blobs)
    for seed in range(3):  # later runs must not see values of earlier ones
        batch = images(count, side=8, seed=seed)
        np.testing.assert_array_equal(session.run(batch, ["probabilities"])["probabilities"], plain_run(blobs, batch))


def test_only_requested_outputs_are_returned(tmp_path: Path) -> None:
    package = tiny.brightness(tmp_path)
    session = bound(load(package.weights, threads=1, providers=[CPU]))
    batch = images(3, side=8) / 255
    wanted = package_parts.run(package.weights.read_bytes(), batch, ("probabilities", "cam"))
    assert set(session.run(batch, ["cam"])) == {"cam"}
    outputs = session.run(batch, ["cam", "probabilities"])
    assert list(outputs) == ["cam", "probabilities"]
    for name, output in outputs.items():
        np.testing.assert_array_equal(output, wanted[name])


def test_outputs_are_not_overwritten_by_later_runs(blobs: Any) -> None:
    session = bound(blobs)
    first = session.run(images(2, side=8, seed=1), ["probabilities"])["probabilities"]
    copy = first.copy()
    session.run(images(2, side=8, seed=2), ["probabilities"])
    np.testing.assert_array_equal(first, copy)


def test_a_batch_need_not_be_contiguous(blobs: Any) -> None:
    batch = np.asfortranarray(images(3, side=8)[::-1])
    np.testing.assert_array_equal(bound(blobs).run(batch, ["probabilities"])["probabilities"], plain_run(blobs, batch))


def test_buffers_of_the_latest_sizes_are_kept(blobs: Any) -> None:
    """Allows for two sizes: an image of side s takes 4 s^2 bytes for its input and 8 s^2 for its outputs per lane."""
    limit_bytes = 2 * 12 * (16**2 + 12**2)
    session = bound(blobs, idle_limit_bytes=limit_bytes)
    for side in (8, 12, 16, 8, 20, 8, 16):
        batch = images(1, side=side)
        np.testing.assert_array_equal(session.run(batch, ["probabilities"])["probabilities"], plain_run(blobs, batch))
        assert session.idle_bytes <= limit_bytes
    assert list(session.idle_buffers) == [((1, 1, 8, 8), ()), ((1, 1, 16, 16), ())]


def test_one_shape_is_kept_however_large(blobs: Any) -> None:
    session = bound(blobs, idle_limit_bytes=1)
    for side in (8, 16):
        session.run(images(1, side=side), ["probabilities"])
        assert list(session.idle_buffers) == [((1, 1, side, side), ())]


def test_concurrent_callers_get_their_own_outputs(blobs: Any) -> None:
    session, wrong = bound(blobs), []

    def call(seed: int) -> None:
        for n in range(30):
            batch = images(1 + (seed + n) % 5, side=8 + 4 * (n % 2), seed=100 * seed + n)
            if not np.array_equal(session.run(batch, ["probabilities"])["probabilities"], plain_run(blobs, batch)):
                wrong.append((seed, n))

    threads = [threading.Thread(target=call, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert {len(idle) for idle in session.idle_buffers.values()} <= {2, 3, 4}  # two at first, at most one per caller


def test_the_first_run_allocates_buffers_for_every_lane(blobs: Any) -> None:
    session = bound(blobs)
    session.run(images(1, side=8), ["probabilities"])
    assert {kind: len(idle) for kind, idle in session.idle_buffers.items()} == {((1, 1, 8, 8), ()): session.lanes}


@pytest.mark.parametrize(
    ("shape", "output"), [((1, 2, 8, 8), "probabilities"), ((1, 8, 8), "probabilities"), ((1, 1, 8, 8), "masks")]
)
def test_a_failed_run_is_reported_and_the_next_one_works(blobs: Any, shape: tuple[int, ...], output: str) -> None:
    session = bound(blobs)
    with pytest.raises(InferenceFailed, match="cannot run"):
        session.run(np.zeros(shape, np.float32), [output])
    assert session.run(images(1, side=8), ["probabilities"])["probabilities"].shape == (1, 2, 8, 8)
