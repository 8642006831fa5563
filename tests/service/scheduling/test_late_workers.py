"""Tests of workers that go on beyond their image's deadline: while all do, the service is not ready."""

import asyncio
import math
import threading
import time

import pytest

from service.scheduling.scheduler import Scheduler
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
