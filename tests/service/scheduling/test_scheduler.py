"""Scheduler: where a step runs, who waits for a worker, and what a caller who left leaves behind."""

import asyncio
import gc
import math
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from service.errors import QueueFull
from service.inference import InferenceFailed
from service.scheduling.cost_model import CostModel
from service.scheduling.memory_budget import MemoryBudget
from service.scheduling.scheduler import Scheduler
from service.scheduling.work import Deadline, Priority, Reservation, Work
from service.settings import Settings
from tests.conftest import Client
from tests.service.exposition import metric
from tests.service.fragile_network import fragile
from tests.service.gated_sessions import Gate
from tests.service.image_files import form, grey
from tests.service.scheduling.doubling_network import BAD, batching, item, later, until

pytestmark = pytest.mark.anyio


def place() -> str:
    """The kind of thread that calls it: the event loop's, or a worker for images."""
    name = threading.current_thread().name
    return "loop" if threading.current_thread() is threading.main_thread() else name.partition("_")[0]


@contextmanager
def scheduling(**fields: Any) -> Iterator[tuple[Scheduler, threading.Event]]:
    """A scheduler with these settings, and a gate for steps to wait at, which opens at the end."""
    scheduler, gate = Scheduler(Settings(**fields)), threading.Event()
    try:
        yield scheduler, gate
    finally:
        gate.set()
        scheduler.close()


@pytest.mark.parametrize("priority", Priority)
@pytest.mark.parametrize(
    ("pixels", "where"), [(0, "loop"), (2**16, "loop"), (2**16 + 1, "image"), (math.inf, "large-image")]
)
async def test_a_step_over_few_pixels_runs_in_the_event_loop(pixels: float, where: str, priority: Priority) -> None:
    work = Work(later(), priority)
    with scheduling(worker_threads=2) as (scheduler, _):
        assert await scheduler.prepare(place, work, pixels=pixels) == where
        assert await scheduler.compute(place, work, pixels=pixels) == where
        assert scheduler.preparing == 0


@pytest.mark.parametrize(
    ("priority", "workers", "pixels", "where"),
    [
        (Priority.INTERACTIVE, 2, 2**27, "image"),
        (Priority.INTERACTIVE, 2, math.inf, "large-image"),
        (Priority.INTERACTIVE, 2, 1, "session"),  # small: prepared in the event loop
        (Priority.INTERACTIVE, 1, math.inf, "session"),  # the only worker is for the next image
        (Priority.BULK, 2, math.inf, "session"),
    ],
)
async def test_an_uncontended_interactive_image_runs_in_the_worker_that_prepared_it(
    priority: Priority, workers: int, pixels: float, where: str
) -> None:
    with scheduling(worker_threads=workers) as (scheduler, _), batching() as (session, batcher):
        session.gate.set()
        work = Work(later(), priority)
        prepared, result = await scheduler.prepare_and_run(
            lambda: SimpleNamespace(batch=item(3)), batcher, ["y"], work, pixels=pixels
        )
    assert (prepared.batch.item(), result.outputs["y"].item()) == (3, 6)
    assert {thread.name.partition("_")[0] for thread in session.threads} == {where}


async def test_bulk_leaves_a_worker_to_interactive_images() -> None:
    bulk = Work(later(), Priority.BULK)
    with scheduling(worker_threads=3) as (scheduler, gate):
        tasks = [asyncio.create_task(scheduler.prepare(gate.wait, bulk, pixels=math.inf)) for _ in range(5)]
        await until(lambda: scheduler.preparing == 2)
        assert await scheduler.prepare(place, Work(later()), pixels=math.inf) == "large-image"
        assert scheduler.preparing == 2  # the other three wait outside, and take no place
        gate.set()
        assert await asyncio.gather(*tasks) == [True] * 5
        assert scheduler.preparing == 0


@pytest.mark.parametrize("priority", Priority)
async def test_one_image_more_than_the_queue_takes_is_refused(priority: Priority) -> None:
    with scheduling(worker_threads=2, queue_length=2) as (scheduler, gate):
        ahead = [asyncio.create_task(scheduler.prepare(gate.wait, Work(later()), pixels=math.inf)) for _ in range(2)]
        await until(lambda: scheduler.preparing == 2)
        for _ in range(2):  # a refusal takes nothing: the next is refused too, and not left waiting
            with pytest.raises(QueueFull, match="2 images"):
                async with asyncio.timeout(60):
                    await scheduler.prepare(place, Work(later(), priority), pixels=math.inf)
        gate.set()
        await asyncio.gather(*ahead)
        assert await scheduler.prepare(place, Work(later(), priority), pixels=math.inf) == "large-image"


async def test_the_memory_of_an_image_whose_caller_has_left_is_held_until_its_step_ends() -> None:
    budget = MemoryBudget(2**30)
    reservation = Reservation(budget)
    with scheduling(worker_threads=1) as (scheduler, gate):
        with reservation:
            reservation.reserve_body(2**22)
            step = scheduler.compute(gate.wait, Work(later(), reservation=reservation), pixels=math.inf)
            task = asyncio.create_task(step)
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert budget.reserved_bytes == 2**22
        gate.set()
        await until(lambda: budget.reserved_bytes == 0)


@pytest.mark.parametrize(
    ("queue_length", "most", "together"), [(100, 3, 3), (100, 99, 10), (8, 99, 4), (1, 99, 1)]
)  # what was asked, all ten, half of the queue, never none
async def test_a_list_fans_out_to_so_many_at_a_time(queue_length: int, most: int, together: int) -> None:
    now, peak = 0, 0

    async def double(number: int) -> int:
        nonlocal now, peak
        now += 1
        peak = max(peak, now)
        await asyncio.sleep(0.001)
        now -= 1
        return 2 * number

    with scheduling(queue_length=queue_length) as (scheduler, _):
        assert await scheduler.fan_out(double, range(10), most=most) == [2 * number for number in range(10)]
    assert peak == together


async def test_the_first_of_a_list_that_fails_ends_the_others() -> None:
    ended: list[int] = []

    async def fail_at_two(number: int) -> None:
        try:
            await asyncio.sleep(0 if number == 2 else 60)
        finally:
            ended.append(number)
        raise QueueFull(number)

    with scheduling() as (scheduler, _), pytest.raises(QueueFull, match="2 images"):
        await scheduler.fan_out(fail_at_two, range(4), most=4)
    assert sorted(ended) == [0, 1, 2, 3]


async def test_an_image_whose_caller_has_left_is_not_kept_until_its_turn(root: Path) -> None:
    scheduler, work = Scheduler(Settings(models=root, worker_threads=1)), Work(Deadline.after(120))
    gate = threading.Event()
    busy = asyncio.create_task(scheduler.compute(partial(gate.wait, 120), work, pixels=math.inf))
    await asyncio.sleep(0)
    image = np.zeros(1000)
    kept = weakref.ref(image)
    waiting = asyncio.create_task(scheduler.compute(partial(np.sum, image), work, pixels=math.inf))
    await asyncio.sleep(0)
    del image
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    del waiting  # its traceback would keep what it was called with
    await asyncio.sleep(0)
    gc.collect()
    assert kept() is None
    gate.set()
    assert await busy
    scheduler.close()


async def test_a_run_shorter_than_a_change_of_thread_is_done_where_it_is() -> None:
    costs, scheduler = CostModel(), Scheduler(Settings())
    with batching(paying=False, costs=costs) as (session, batcher):
        session.gate.set()
        costs.record(1, elements=1, seconds=1e-6)
        ran = await scheduler.run(batcher, item(1), ["y"], Work(later()))
        assert ran.outputs["y"].item() == 2
        assert threading.current_thread() in session.threads
        with pytest.raises(InferenceFailed):
            await scheduler.run(batcher, item(BAD), ["y"], Work(later()))
        costs.record_alone(1, 1.0)
        session.threads.clear()
        await scheduler.run(batcher, item(1), ["y"], Work(later()))
        assert threading.current_thread() not in session.threads
        assert batcher.depth == 0


async def test_many_short_runs_leave_the_loop_to_others_between_them() -> None:
    costs, scheduler = CostModel(), Scheduler(Settings())
    with batching(paying=False, costs=costs) as (session, batcher):
        session.gate.set()
        other = asyncio.create_task(asyncio.sleep(0))
        for _ in range(2):
            for _ in range(50):  # whatever the run before really took
                costs.record_alone(1, 1e-6)
            await scheduler.run(batcher, item(1), ["y"], Work(later()))
        assert session.threads == {threading.current_thread()}
        assert other.done()


async def test_what_is_much_larger_than_anything_measured_is_never_run_in_the_event_loop() -> None:
    costs, scheduler = CostModel(), Scheduler(Settings())
    with batching(paying=False, costs=costs) as (session, batcher):
        session.gate.set()
        for size, seconds in ((1, 2.2e-5), (2, 2.0e-5)):  # noise: no rate can be told from it
            costs.record(size, elements=size, seconds=seconds)
        await scheduler.run(batcher, item(1, height=1000), ["y"], Work(later()))
        assert threading.current_thread() not in session.threads


LARGE = {"height": 100, "width": 100}  # too much for the event loop to make ready by itself


async def test_an_image_by_itself_runs_where_it_was_decoded_and_others_in_lanes(serving: Client, root: Path) -> None:
    gate = Gate()
    async with serving(models=root, open_session=gate.batching_session, worker_threads=2) as http:
        gate.threads.clear()
        assert (await http.post("/predict", files=form(grey(200, **LARGE)))).status_code == 200
        assert [name.partition("_")[0] for name in gate.threads] == ["image"]
        gate.threads.clear()
        answer = await http.post("/predict", files=form(*(grey(value, **LARGE) for value in range(8))))
        assert len(answer.json()["results"]) == 8
        assert {name.partition("_")[0] for name in gate.threads} == {"session"}


async def test_its_failure_is_answered_and_counted(serving: Client, tmp_path: Path) -> None:
    fragile(tmp_path)
    async with serving(models=tmp_path, worker_threads=2) as http:
        answers = [await http.post("/predict", files=form(grey(value, **LARGE))) for value in (200, 255, 30)]
        metrics = (await http.get("/metrics")).text
    assert [answer.status_code for answer in answers] == [200, 500, 200]
    assert metric(metrics, "striate_failed_runs_total", model="fragile") == 1
    assert metric(metrics, "striate_queue_depth") == 0
