"""The queue in front of a session: bounded, in order, and one item's trouble stays its own."""

import asyncio
import threading
from collections.abc import Sequence

import numpy as np
import pytest

from models.image import Array
from service.batching import Batcher
from service.deadline import Deadline
from service.errors import DeadlinePassed, QueueFull

pytestmark = pytest.mark.anyio


class Recorder:
    """Answers twice its input, once the gate is open; remembers what it ran; -1 makes it fail."""

    provider = "test"

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.started = threading.Event()
        self.ran: list[float] = []

    def run(self, batch: Array, outputs: Sequence[str]) -> dict[str, Array]:
        self.started.set()
        self.gate.wait(timeout=10)
        self.ran.append(float(batch[0]))
        if batch[0] < 0:
            raise ArithmeticError("negative")
        return dict.fromkeys(outputs, 2 * batch)


def item(value: float) -> Array:
    return np.array([value])


def later(seconds: float = 5.0) -> Deadline:
    return Deadline.after(seconds)


async def started(session: Recorder) -> None:
    await asyncio.get_running_loop().run_in_executor(None, session.started.wait, 5)


async def test_items_run_in_order_and_each_gets_its_own() -> None:
    session = Recorder()
    session.gate.set()
    batcher = Batcher(session, length=10)
    answers = await asyncio.gather(*(batcher.submit(item(v), ["y"], deadline=later()) for v in range(10)))
    assert [float(answer.outputs["y"][0]) for answer in answers] == [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]
    assert session.ran == list(range(10))
    assert batcher.depth == 0
    batcher.close()


async def test_a_failing_item_fails_alone() -> None:
    session = Recorder()
    session.gate.set()
    batcher = Batcher(session, length=10)
    answers = await asyncio.gather(
        *(batcher.submit(item(v), ["y"], deadline=later()) for v in (1, -1, 3)), return_exceptions=True
    )
    assert [type(answer).__name__ for answer in answers] == ["Ran", "ArithmeticError", "Ran"]
    batcher.close()


async def test_one_more_than_the_queue_takes_is_refused_at_once() -> None:
    session = Recorder()
    batcher = Batcher(session, length=2)
    tasks = [asyncio.create_task(batcher.submit(item(v), ["y"], deadline=later())) for v in (1, 2)]
    await started(session)
    assert batcher.depth == 2
    with pytest.raises(QueueFull, match="2 images"):
        await batcher.submit(item(3), ["y"], deadline=later())
    tasks.append(asyncio.create_task(batcher.submit(item(4), ["y"], deadline=later(), admitted=True)))  # a later tile
    session.gate.set()
    await asyncio.gather(*tasks)
    assert session.ran == [1, 2, 4]
    batcher.close()


async def test_an_item_whose_deadline_passes_never_runs() -> None:
    session = Recorder()
    batcher = Batcher(session, length=5)
    first = asyncio.create_task(batcher.submit(item(1), ["y"], deadline=later()))
    await started(session)
    with pytest.raises(DeadlinePassed, match=r"0\.05 s"):
        await batcher.submit(item(2), ["y"], deadline=later(0.05))
    session.gate.set()
    await first
    await batcher.submit(item(3), ["y"], deadline=later())
    assert session.ran == [1, 3]
    batcher.close()


async def test_an_item_whose_caller_is_gone_never_runs() -> None:
    session = Recorder()
    batcher = Batcher(session, length=5)
    first, gone = (asyncio.create_task(batcher.submit(item(v), ["y"], deadline=later())) for v in (1, 2))
    await started(session)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    session.gate.set()
    await first
    await batcher.submit(item(3), ["y"], deadline=later())
    assert session.ran == [1, 3]
    assert batcher.depth == 0
    batcher.close()
