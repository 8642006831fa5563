"""Tests of the activation memory: runs wait for room, batches are no larger than fits, nor are tiles."""

import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest

from models.errors import PackageError
from models.image import Array
from service.inference.activation_memory import MOST_TILE_PX, ActivationMemory, NetworkMemory
from service.inference.cpu import CpuSession
from service.inference.onnxruntime import IDENTITY
from tests.package_parts import spec_of

MIB = 2**20
IMAGE = np.zeros((1, 1, 64, 64), np.float32)


class Doubled:
    """An ONNX Runtime session that doubles its input; notes what runs at the same time."""

    def __init__(self) -> None:
        self.running = self.most = 0
        self.batches: list[int] = []
        self.lock = threading.Lock()

    def run(self, outputs: Sequence[str], inputs: dict[str, Array], _: object) -> list[Array]:
        (batch,) = inputs.values()
        with self.lock:
            self.batches.append(len(batch))
            self.running += len(batch)
            self.most = max(self.most, self.running)
        time.sleep(0.01)
        with self.lock:
            self.running -= len(batch)
        return [2 * batch for _ in outputs]


def opened(memory: NetworkMemory) -> tuple[CpuSession, Doubled]:
    session, network = CpuSession(IDENTITY, lanes=4, buckets=(1,)), Doubled()
    session._narrow = session._wide = network
    session.memory = memory
    return session, network


def memory_for(images: float) -> NetworkMemory:
    """As much as this many images of 5 MiB take."""
    return NetworkMemory(ActivationMemory(images * 5 * MIB), 5 * MIB / IMAGE.size)


@pytest.mark.parametrize(("fitting", "most"), [(0.1, 1), (1, 1), (2, 2), (3.5, 3), (9, 4)])
def test_no_more_runs_than_fit(fitting: float, most: int) -> None:
    session, network = opened(memory_for(fitting))
    threads = [threading.Thread(target=session.run, args=(IMAGE, ("y",))) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert (network.most, session.memory.shared.reserved_bytes) == (most, 0)


@pytest.mark.parametrize(("fitting", "batches"), [(0.1, [1, 1, 1, 1, 1]), (2.5, [2, 2, 1]), (9, [5])])
def test_a_batch_that_cannot_fit_runs_in_parts(fitting: float, batches: list[int]) -> None:
    session, network = opened(memory_for(fitting))
    batch = np.repeat(IMAGE, 5, axis=0) + np.arange(5, dtype=np.float32)[:, None, None, None]
    assert (session.run(batch, ("y",))["y"] == 2 * batch).all()
    assert network.batches == batches


def test_a_run_that_takes_hardly_anything_never_waits() -> None:
    session, network = opened(NetworkMemory(ActivationMemory(MIB), 1.0))
    with session.memory.shared.reserved(4 * MIB):
        session.run(IMAGE, ("y",))
    assert network.batches == [1]


def test_a_large_run_that_waits_is_not_overtaken() -> None:
    memory = ActivationMemory(10 * MIB)
    order: list[str] = []

    def take(name: str, nbytes: int) -> None:
        with memory.reserved(nbytes):
            order.append(name)

    with memory.reserved(8 * MIB):
        threads = [threading.Thread(target=take, args=each) for each in (("large", 9 * MIB), ("small", 2 * MIB))]
        for thread in threads:
            thread.start()
            time.sleep(0.05)
        assert order == []
    for thread in threads:
        thread.join()
    assert order == ["large", "small"]


@pytest.mark.parametrize(("mib", "tile"), [(float("inf"), MOST_TILE_PX), (1000, 917), (300, 502)])
def test_tiles_are_as_large_as_fits(mib: float, tile: int) -> None:
    spec = spec_of(stride=16, halo=96, input={"channels": 3, "min_size": 16, "step": 16, "steps": []})
    assert NetworkMemory.measured(ActivationMemory(mib * MIB), 340.0).largest_tile(spec) == tile


@pytest.mark.parametrize("size", [None, (512, 512)])
def test_a_network_of_which_no_run_fits_is_refused(size: tuple[int, int] | None) -> None:
    spec = spec_of(stride=16, halo=96, input={"channels": 3, "size": size, "min_size": 16, "step": 16, "steps": []})
    with pytest.raises(PackageError, match=r"A run takes \d+ MiB of memory; all networks together may take 100 MiB"):
        NetworkMemory.measured(ActivationMemory(100 * MIB), 340.0).largest_tile(spec)


def test_a_network_that_was_not_measured_is_admitted() -> None:
    spec = spec_of(stride=16, input={"channels": 3, "size": (64, 64), "steps": []})
    assert NetworkMemory(ActivationMemory(MIB)).largest_tile(spec) == MOST_TILE_PX
