"""A network of one multiplication that waits until a test lets it run, behind a batcher."""

import asyncio
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from models.image import Array
from service.inference import InferenceFailed
from service.scheduling.batcher import Batcher
from service.scheduling.cost_model import CostModel
from service.scheduling.work import Deadline, Priority, Work

BAD = -1.0
INTERACTIVE, BULK = Priority


class Doubler:
    """A network that answers twice its input, once the gate is open; BAD among its items makes it fail.

    batches: the values of each run, in the order in which runs began.
    """

    provider = "test"
    buckets = (1, 2, 4)

    def __init__(self, *, lanes: int = 1) -> None:
        self.lanes = lanes
        self.gate = threading.Event()
        self.batches: list[list[float]] = []
        self.threads: set[threading.Thread] = set()
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()

    def run(self, batch: Array, outputs: Sequence[str], until: float = math.inf) -> dict[str, Array]:
        with self._lock:
            self.batches.append(batch.ravel().tolist())
            self.threads.add(threading.current_thread())
            self._now += 1
            self.most = max(self.most, self._now)
        self.gate.wait(timeout=120)
        with self._lock:
            self._now -= 1
        if (batch == BAD).any():
            raise InferenceFailed("it saw a bad one")
        return dict.fromkeys(outputs, 2 * batch)


@contextmanager
def batching(
    *, lanes: int = 1, length: int = 100, paying: bool = True, costs: CostModel | None = None
) -> Iterator[tuple[Doubler, Batcher]]:
    """paying: a run takes a second whatever is in it, so that every batch is as large as it can be."""
    session = Doubler(lanes=lanes)
    costs = costs or CostModel()
    if paying:
        for size in session.buckets:
            costs.record(size, elements=size, seconds=1.0)
    batcher = Batcher(session, length=length, cost_model=costs)
    try:
        yield session, batcher
    finally:
        session.gate.set()
        batcher.close()


def item(value: float, *, height: int = 1) -> Array:
    return np.full((1, 1, height, 1), value, np.float32)


def later(seconds: float = 120.0) -> Deadline:
    return Deadline.after(seconds)


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not happened():
            await asyncio.sleep(0.001)


async def begun(session: Doubler, batches: int = 1) -> None:
    await until(lambda: len(session.batches) >= batches)


async def queued(batcher: Batcher, *items: Array, priority: Priority = INTERACTIVE) -> list[asyncio.Task[float]]:
    """Tasks that have taken their places, in order."""

    async def answer(tensor: Array) -> float:
        ran = await batcher.submit(tensor, ["y"], Work(later(), priority))
        assert ran.outputs["y"].shape == tensor.shape
        return float(ran.outputs["y"].max())

    tasks = [asyncio.create_task(answer(tensor)) for tensor in items]
    await asyncio.sleep(0)
    return tasks
