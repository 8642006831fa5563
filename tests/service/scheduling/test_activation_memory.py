"""Tests of the activation memory: runs wait for room, batches run in parts, tiles are as large as fits."""

import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest

from models.errors import PackageError
from models.image import Array
from service.scheduling.activation_memory import (
    MARGIN,
    MOST_TILE_PX,
    ActivationMemory,
    AdmittedSession,
    largest_tile,
)
from tests.package_parts import spec_of

MIB = 2**20


class Network:
    """Doubles its input; notes what runs at the same time."""

    provider, lanes, buckets = "CPUExecutionProvider", 4, (1, 2, 4)

    def __init__(self) -> None:
        self.running = self.most = 0
        self.batches: list[int] = []
        self.lock = threading.Lock()

    def run(self, batch: Array, outputs: Sequence[str]) -> dict[str, Array]:
        with self.lock:
            self.batches.append(len(batch))
            self.running += len(batch)
            self.most = max(self.most, self.running)
        time.sleep(0.01)
        with self.lock:
            self.running -= len(batch)
        return dict.fromkeys(outputs, 2 * batch)


def run_at_once(session: AdmittedSession, batches: Sequence[Array]) -> None:
    threads = [threading.Thread(target=session.run, args=(batch, ("y",))) for batch in batches]
    for each in threads:
        each.start()
    for each in threads:
        each.join()


@pytest.mark.parametrize(("fitting", "most"), [(1, 1), (2, 2), (3, 3)])
def test_no_more_runs_than_fit(fitting: int, most: int) -> None:
    network, image = Network(), np.zeros((1, 1, 64, 64), np.float32)
    memory = ActivationMemory(fitting * MARGIN * 2 * MIB + fitting)
    session = AdmittedSession(network, memory, element_bytes=2 * MIB / image.size)
    run_at_once(session, 8 * [image])
    assert (network.most, memory.reserved_bytes) == (most, 0)


def test_a_batch_that_cannot_fit_runs_in_parts() -> None:
    network, batch = Network(), np.arange(5 * 64, dtype=np.float32).reshape(5, 1, 8, 8)
    session = AdmittedSession(network, ActivationMemory(2.5 * MARGIN * 2 * MIB), element_bytes=2 * MIB / 64)
    assert (session.run(batch, ("y",))["y"] == 2 * batch).all()
    assert network.batches == [2, 2, 1]


def test_what_cannot_fit_at_all_runs_alone() -> None:
    network, image = Network(), np.zeros((1, 1, 8, 8), np.float32)
    run_at_once(AdmittedSession(network, ActivationMemory(1), element_bytes=2 * MIB / 64), 4 * [image])
    assert network.most == 1


def test_a_run_that_takes_hardly_anything_never_waits() -> None:
    network, memory = Network(), ActivationMemory(MIB)
    with memory.reserved(4 * MIB):
        AdmittedSession(network, memory, element_bytes=1.0).run(np.zeros((1, 1, 8, 8), np.float32), ("y",))
    assert network.batches == [1]


def test_a_large_run_that_waits_is_not_overtaken() -> None:
    memory, order = ActivationMemory(10 * MIB), []

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


@pytest.mark.parametrize(
    ("mib", "tile"),
    [(float("inf"), MOST_TILE_PX), (1000, 853), (300, 467)],
)
def test_tiles_are_as_large_as_fits(mib: float, tile: int) -> None:
    spec = spec_of(stride=16, halo=96, input={"channels": 3, "min_size": 16, "step": 16, "steps": []})
    assert largest_tile(spec, 340.0, ActivationMemory(mib * MIB)) == tile


@pytest.mark.parametrize("size", [None, (512, 512)])
def test_a_network_of_which_no_run_fits_is_refused(size: tuple[int, int] | None) -> None:
    spec = spec_of(stride=16, halo=96, input={"channels": 3, "size": size, "min_size": 16, "step": 16, "steps": []})
    with pytest.raises(PackageError, match=r"A run takes \d+ MiB of memory; all networks together may take 100 MiB"):
        largest_tile(spec, 340.0, ActivationMemory(100 * MIB))


def test_a_network_without_a_proof_is_admitted() -> None:
    spec = spec_of(stride=16, input={"channels": 3, "size": (64, 64), "steps": []})
    assert largest_tile(spec, 0.0, ActivationMemory(MIB)) == MOST_TILE_PX
