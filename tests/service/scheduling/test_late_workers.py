"""Tests of workers that are long at an image: short steps do not wait, and while all are late nothing is ready."""

import asyncio
import math
import threading
import time

import pytest

from service.scheduling.scheduler import SHORT_PIXELS, Scheduler
from service.scheduling.work import Deadline, Work
from service.settings import Settings
from tests.service.scheduling.doubling_network import later, until

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("works", "has_worker"),
    [
        ([], True),
        (["late"], True),
        (["late", "timely"], True),
        (["late", "late"], False),
        (["late", "late", "timely"], False),  # which waits
    ],
)
async def test_a_worker_is_there_unless_all_go_on_beyond_their_deadline(works: list[str], has_worker: bool) -> None:
    deadlines = {"late": Deadline(time.monotonic() - 3, 1), "timely": later()}
    scheduler, gate = Scheduler(Settings(worker_threads=2)), threading.Event()
    begun: list[str] = []

    def step(name: str) -> None:
        begun.append(name)
        gate.wait()

    steps = [
        asyncio.create_task(scheduler.compute(lambda name=name: step(name), Work(deadlines[name]), pixels=math.inf))
        for name in works
    ]
    await until(lambda: len(begun) == min(2, len(works)))
    assert scheduler.has_worker == has_worker
    gate.set()
    await asyncio.gather(*steps)
    assert scheduler.has_worker
    scheduler.close()


async def test_what_is_short_does_not_wait_for_what_is_long() -> None:
    scheduler, gate, long = Scheduler(Settings(worker_threads=2)), threading.Event(), Work(later())
    tasks = [asyncio.create_task(scheduler.prepare(gate.wait, long, pixels=math.inf)) for _ in range(3)]
    await until(lambda: scheduler.preparing == 3)
    for step in (scheduler.prepare, scheduler.compute):
        name = await step(lambda: threading.current_thread().name, Work(later()), pixels=SHORT_PIXELS)
        assert name.startswith("image")
    assert not any(task.done() for task in tasks)
    gate.set()
    await asyncio.gather(*tasks)
    scheduler.close()
