"""Tests of the work object: its stages, its parts, its deadline and its reservation."""

import asyncio
import threading
import time

import pytest

from service.errors import AnswerTooLarge, DeadlinePassed, MemoryFull, TooManyBytes
from service.scheduling.memory_budget import NOTHING, SMALL_BYTES, TINY_BYTES, Held, MemoryBudget
from service.scheduling.memory_plan import SMALL_ROOM_BYTES
from service.scheduling.scheduler import Scheduler
from service.scheduling.work import PIXELS_A_SECOND, Deadline, Priority, Reservation, Work
from service.settings import Settings
from tests.service.scheduling.doubling_network import until

pytestmark = pytest.mark.anyio
LATER = Deadline(time.monotonic() + 3600, 3600)


def decode_and_fail(*, seconds: float) -> None:
    time.sleep(seconds)
    raise LookupError


def test_a_repeated_stage_adds_up() -> None:
    work = Work(LATER)
    work.add("decode", 0.5)
    for _ in range(3):  # tiles, each by a part of the work
        work.part().add("infer", 0.004)
    timings = work.timings()
    assert (timings.decode, timings.infer, timings.preprocess) == (500.0, 12.0, 0.0)


def test_a_stage_is_timed_even_if_it_raises() -> None:
    work = Work(LATER)
    with pytest.raises(LookupError), work.stage("decode"):
        decode_and_fail(seconds=0.01)
    assert work.timings().decode >= 10


def test_each_stage_is_reported_to_the_trace_of_the_request() -> None:
    stages: list[tuple[str, float, float]] = []
    work = Work(LATER, on_stage=lambda name, seconds, ago: stages.append((name, seconds, ago)))
    work.add("queue", 0.001, ago=0.004)
    work.part().add("infer", 0.004)
    assert stages == [("queue", 0.001, 0.004), ("infer", 0.004, 0.0)]


def test_further_passes_have_a_place_and_those_of_tiles_go_behind_interactive_images() -> None:
    work = Work(LATER, request_id="a")
    assert (work.priority, work.has_place) == (Priority.INTERACTIVE, False)
    assert (work.again().priority, work.again().has_place) == (Priority.INTERACTIVE, True)
    assert (work.part().priority, work.part().has_place, work.part().request_id) == (Priority.BULK, True, "a")
    assert work.part().reservation is work.reservation


async def test_a_deadline_ends_the_block() -> None:
    with pytest.raises(DeadlinePassed, match=r"0\.01 s"):
        async with Deadline.after(0.01).enforced():
            await asyncio.sleep(60)


@pytest.mark.parametrize(("timeout_s", "expected_s"), [(None, 10.0), (20.0, 10.0), (4.0, 4.0)])
def test_a_sooner_deadline_counts_from_the_same_start(timeout_s: float | None, expected_s: float) -> None:
    deadline = Deadline(110.0, 10.0).sooner(timeout_s)
    assert (deadline.at, deadline.timeout_s) == (100.0 + expected_s, expected_s)


def test_a_reservation_is_given_back_by_its_last_holder() -> None:
    budget = MemoryBudget(10 * SMALL_BYTES)
    with Reservation(budget) as body:
        body.reserve_body(2 * SMALL_BYTES)
        image = Reservation(budget, outer=body)  # holds the body too
        image.retain()
    assert budget.reserved_bytes == 2 * SMALL_BYTES
    image.release()
    assert budget.reserved_bytes == 2 * SMALL_BYTES
    image.release()
    assert budget.reserved_bytes == 0


def test_a_body_that_can_never_fit_and_one_that_cannot_for_now() -> None:
    budget = MemoryBudget(3 * SMALL_BYTES)
    with Reservation(budget) as one, Reservation(budget) as other:
        one.reserve_body(2 * SMALL_BYTES)
        other.reserve_body(SMALL_BYTES)  # small ones are not counted
        with pytest.raises(MemoryFull):
            other.reserve_body(2 * SMALL_BYTES)
        with pytest.raises(TooManyBytes):
            other.reserve_body(4 * SMALL_BYTES)


@pytest.mark.parametrize(
    ("image", "answer", "held"),
    [
        (Held(large=6 * SMALL_BYTES), 5 * SMALL_BYTES, Held(large=5 * SMALL_BYTES)),
        (Held(large=6 * SMALL_BYTES), SMALL_BYTES, Held(large=SMALL_BYTES)),  # where the image was: no new room
        (Held(small=SMALL_BYTES), SMALL_BYTES // 2, Held(small=SMALL_BYTES // 2)),
        (Held(large=3 * SMALL_BYTES), 7 * SMALL_BYTES, Held(large=7 * SMALL_BYTES)),  # larger than the image was
        (Held(large=6 * SMALL_BYTES), TINY_BYTES, NOTHING),
    ],
)
async def test_an_answer_takes_the_room_of_its_image(image: Held, answer: int, held: Held) -> None:
    budget, small_ones = MemoryBudget(10 * SMALL_BYTES), Held(small=SMALL_ROOM_BYTES - image.small)
    budget.resize(NOTHING, small_ones)  # it must not need any of theirs
    with Reservation(budget) as request:
        request.reserve_body(2 * SMALL_BYTES)
        with Work(LATER, reservation=Reservation(budget, outer=request), kept_by=request) as work:
            work.reservation.reserve_body(image.total)
        in_all = Held(large=2 * SMALL_BYTES).plus(small_ones)
        assert (budget.reserved_bytes, budget.small_bytes) == in_all.plus(image)
        await request.reserve_answer(answer, until=0)
        assert (budget.reserved_bytes, budget.small_bytes) == in_all.plus(held)
    assert (budget.reserved_bytes, budget.small_bytes) == small_ones


async def test_an_image_that_failed_leaves_its_room_to_nobody() -> None:
    budget = MemoryBudget(10 * SMALL_BYTES)
    with Reservation(budget) as request:
        work = Work(LATER, reservation=Reservation(budget, outer=request), kept_by=request)
        work.reservation.reserve_body(2 * SMALL_BYTES)
        with pytest.raises(LookupError), work:
            decode_and_fail(seconds=0)
        assert budget.reserved_bytes == 0


async def test_an_answer_waits_for_room_until_a_moment() -> None:
    budget, loop = MemoryBudget(3 * SMALL_BYTES), asyncio.get_running_loop()
    other = Reservation(budget)
    other.reserve_body(2 * SMALL_BYTES)
    with Reservation(budget) as request:
        with pytest.raises(AnswerTooLarge):
            await request.reserve_answer(4 * SMALL_BYTES, until=loop.time() + 9)
        with pytest.raises(MemoryFull):
            await request.reserve_answer(2 * SMALL_BYTES, until=loop.time() + 0.05)
        waiting = asyncio.create_task(request.reserve_answer(2 * SMALL_BYTES, until=loop.time() + 9))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        other.release()
        await waiting
        assert budget.reserved_bytes == 2 * SMALL_BYTES
    assert budget.reserved_bytes == 0


async def test_memory_and_place_are_held_until_the_thread_ends_though_the_caller_has_gone() -> None:
    budget, gate, started = MemoryBudget(10 * SMALL_BYTES), threading.Event(), threading.Event()
    scheduler = Scheduler(Settings(worker_threads=1, queue_length=1))
    work = Work(LATER, reservation=Reservation(budget))

    def step() -> None:
        started.set()
        gate.wait(60)

    async def image() -> None:
        with work.reservation:
            work.reservation.reserve_body(2 * SMALL_BYTES)
            await scheduler.prepare(step, work, pixels=float("inf"))

    task = asyncio.create_task(image())
    await asyncio.to_thread(started.wait, 60)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert budget.reserved_bytes == 2 * SMALL_BYTES
    assert scheduler.preparing == 1
    gate.set()
    await until(lambda: budget.reserved_bytes == 0 and scheduler.preparing == 0)
    scheduler.close()


async def test_a_step_that_never_began_gives_back_at_once() -> None:
    budget, gate = MemoryBudget(10 * SMALL_BYTES), threading.Event()
    scheduler = Scheduler(Settings(worker_threads=1, queue_length=8))
    first = asyncio.create_task(scheduler.prepare(lambda: gate.wait(60), Work(LATER), pixels=float("inf")))
    work = Work(LATER, reservation=Reservation(budget))
    second = asyncio.create_task(scheduler.prepare(lambda: None, work, pixels=float("inf")))
    await until(lambda: scheduler.preparing == 2)
    work.reservation.reserve_body(2 * SMALL_BYTES)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    work.reservation.release()
    assert budget.reserved_bytes == 0
    assert scheduler.preparing == 1
    gate.set()
    await first
    scheduler.close()


def test_a_step_begins_only_if_it_should_end_soon_after_the_deadline() -> None:
    work = Work(Deadline(time.monotonic() + 1, 1))
    work.check(2 * PIXELS_A_SECOND)
    for late, pixels in ((work, 4 * PIXELS_A_SECOND), (Work(Deadline(time.monotonic() - 1, 1)), 0)):
        with pytest.raises(DeadlinePassed):
            late.check(pixels)
