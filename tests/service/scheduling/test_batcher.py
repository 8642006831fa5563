"""The batcher in front of a session: bounded, in order, work-conserving, and one item's trouble stays its own."""

import asyncio
import math
import threading
import time
from collections.abc import Sequence

import pytest

from models.image import Array
from service.errors import DeadlinePassed, NotReady, QueueFull
from service.inference import InferenceFailed
from service.scheduling.batcher import Batcher
from service.scheduling.cost_model import BatchCloseReason, CostModel
from service.scheduling.work import Work
from tests.service.scheduling.doubling_network import BAD, BULK, Doubler, batching, begun, item, later, queued

pytestmark = pytest.mark.anyio


async def test_what_comes_while_a_lane_is_idle_runs_at_once_and_the_rest_gathers() -> None:
    with batching() as (session, batcher):
        tasks = await queued(batcher, *map(item, range(1, 8)))
        await begun(session)
        session.gate.set()
        assert await asyncio.gather(*tasks) == [2, 4, 6, 8, 10, 12, 14]
    assert session.batches == [[1], [2, 3, 4, 5], [6, 7]]


async def test_each_batch_says_once_why_it_was_released() -> None:
    with batching() as (session, batcher):
        submitted = [batcher.submit(item(n), ("y",), Work(later())) for n in range(1, 8)]
        tasks = [asyncio.create_task(each) for each in submitted]
        await begun(session)
        session.gate.set()
        told = [ran.close_reason for ran in await asyncio.gather(*tasks)]
    assert session.batches == [[1], [2, 3, 4, 5], [6, 7]]
    assert told == [BatchCloseReason.IDLE, BatchCloseReason.FULL, None, None, None, BatchCloseReason.NO_MORE, None]


async def test_who_was_in_a_batch_that_failed_is_released_alone() -> None:
    with batching() as (session, batcher):
        submitted = [batcher.submit(item(n), ("y",), Work(later())) for n in (1, 2, BAD)]
        tasks = [asyncio.create_task(each) for each in submitted]
        await begun(session)
        session.gate.set()
        _, again, failed = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(failed, InferenceFailed)
    assert not isinstance(again, BaseException)
    assert again.close_reason is BatchCloseReason.ALONE


async def test_where_batches_do_not_pay_each_item_runs_by_itself() -> None:
    with batching(paying=False) as (session, batcher):
        session.gate.set()
        assert await asyncio.gather(*await queued(batcher, *map(item, range(1, 5)))) == [2, 4, 6, 8]
    assert session.batches == [[1], [2], [3], [4]]


async def test_every_lane_works_and_none_is_exceeded() -> None:
    with batching(lanes=3, paying=False) as (session, batcher):
        tasks = await queued(batcher, *map(item, range(1, 9)))
        await begun(session, 3)
        session.gate.set()
        await asyncio.gather(*tasks)
        assert session.most == 3


async def test_only_items_of_one_shape_run_together() -> None:
    with batching() as (session, batcher):
        tasks = await queued(batcher, item(1), item(2), item(3, height=2), item(4), item(5, height=2))
        await begun(session)
        session.gate.set()
        assert await asyncio.gather(*tasks) == [2, 4, 6, 8, 10]
    assert session.batches == [[1], [2, 4], [3, 3, 5, 5]]


async def test_interactive_goes_before_bulk_but_bulk_is_not_left_waiting() -> None:
    with batching(paying=False) as (session, batcher):
        first = await queued(batcher, item(1))
        bulk = await queued(batcher, item(20), item(21), priority=BULK)
        people = await queued(batcher, *map(item, range(2, 9)))
        session.gate.set()
        await asyncio.gather(*first, *bulk, *people)
    assert session.batches == [[1], [2], [3], [4], [5], [20], [6], [7], [8], [21]]


async def test_a_bad_item_fails_alone() -> None:
    with batching() as (session, batcher):
        tasks = await queued(batcher, *map(item, (1, 2, BAD, 3, 4)))
        await begun(session)
        session.gate.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert batcher.depth == 0
    assert [answer if isinstance(answer, float) else type(answer) for answer in answers] == [
        2,
        4,
        InferenceFailed,
        6,
        8,
    ]
    assert session.batches == [[1], [2, BAD, 3, 4], [2], [BAD], [3], [4]]


async def test_one_more_than_the_queue_takes_is_refused_at_once_and_told_when_to_come_back() -> None:
    costs = CostModel()
    with batching(length=3, paying=False, costs=costs) as (session, batcher):
        costs.record(1, elements=1, seconds=1.5)
        tasks = await queued(batcher, *map(item, (1, 2, 3)))
        assert batcher.depth == 3
        with pytest.raises(QueueFull, match="3 images") as refused:
            await batcher.submit(item(4), ["y"], Work(later()))
        assert refused.value.retry_after_s == 5  # three items of one and a half seconds
        admitted = asyncio.create_task(batcher.submit(item(5), ["y"], Work(later(), has_place=True)))  # a later tile
        session.gate.set()
        await asyncio.gather(*tasks, admitted)
    assert session.batches == [[1], [2], [3], [5]]


async def test_an_item_whose_deadline_passes_never_runs() -> None:
    with batching() as (session, batcher):
        tasks = await queued(batcher, item(1))
        with pytest.raises(DeadlinePassed, match=r"0\.05 s"):
            async with (deadline := later(0.05)).enforced():
                await batcher.submit(item(2), ["y"], Work(deadline))
        assert batcher.depth == 1
        session.gate.set()
        await asyncio.gather(*tasks, *await queued(batcher, item(3)))
    assert session.batches == [[1], [3]]


async def test_a_deadline_that_passed_before_the_loop_could_tell_is_seen_at_the_launch() -> None:
    with batching() as (session, batcher):
        session.gate.set()
        with pytest.raises(DeadlinePassed):
            await batcher.submit(item(1), ["y"], Work(later(-1)))
    assert session.batches == []


async def test_an_item_whose_caller_is_gone_frees_its_place_and_never_runs() -> None:
    with batching(length=2) as (session, batcher):
        first, gone = await queued(batcher, item(1), item(2))
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        assert batcher.depth == 1
        tasks = await queued(batcher, item(3))
        session.gate.set()
        await asyncio.gather(first, *tasks)
        assert batcher.depth == 0
    assert session.batches == [[1], [3]]


def test_warming_stops_where_it_no_longer_pays_or_takes_too_long() -> None:
    costs = CostModel()
    with batching(paying=False, costs=costs) as (session, batcher):
        session.gate.set()
        batcher.warm(item(1), ["y"])
        assert session.batches[0] == [1]
        assert costs.seconds(1) > 0


class Shared(Doubler):
    """A network whose run takes a second an item while another runs and half of that alone, by its thread's clock.

    It waits a moment for another to begin, so that runs of two lanes are never alone by chance.
    """

    def __init__(self) -> None:
        super().__init__(lanes=2)
        self.clock = Clock()
        self._entered = 0
        self._changed = threading.Condition()

    def run(self, batch: Array, outputs: Sequence[str], until: float = math.inf) -> dict[str, Array]:
        self.batches.append(batch.ravel().tolist())
        with self._changed:
            self._entered += 1
            self._changed.notify_all()
            pair = self._entered + self._entered % 2
            together = self._changed.wait_for(lambda: self._entered >= pair, timeout=0.3)
            self._entered = max(self._entered, pair)
        self.clock.now += len(batch) * (1.0 if together else 0.5)
        return dict.fromkeys(outputs, 2 * batch)


class Clock(threading.local):
    """Of each thread its own, and nobody's but who moves it."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now

    monotonic = staticmethod(time.monotonic)


async def test_what_a_run_takes_that_is_alone_is_not_held_against_those_side_by_side(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = Shared()
    monkeypatch.setattr("service.scheduling.batcher.time", session.clock)
    batcher = Batcher(session, length=100)
    batcher.warm(item(1), ["y"])
    session.batches.clear()
    for n in range(2):
        await batcher.submit(item(n), ["y"], Work(later()))
    assert await asyncio.gather(*await queued(batcher, *map(item, range(2, 20)))) == [2 * n for n in range(2, 20)]
    batcher.close()
    assert sorted(session.batches) == [[n] for n in range(20)]  # two would take as long as one and then the other


async def test_a_lane_goes_on_with_who_waits_while_the_event_loop_is_busy() -> None:
    with batching(paying=False) as (session, batcher):
        tasks = await queued(batcher, *map(item, range(1, 4)))
        session.gate.set()
        end = time.monotonic() + 60
        while len(session.batches) < 3 and time.monotonic() < end:
            time.sleep(0.001)  # the event loop itself: it hears of none
        assert session.batches == [[1], [2], [3]]
        assert await asyncio.gather(*tasks) == [2, 4, 6]


async def test_closing_answers_everyone() -> None:
    with batching() as (session, batcher):
        tasks = await queued(batcher, *map(item, (1, BAD, 3, 4)))
        await begun(session)
        session.gate.set()
        batcher.close()
        answers = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), timeout=60)
        with pytest.raises(NotReady):
            await batcher.submit(item(5), ["y"], Work(later()))
    assert answers[0] == 2
    assert all(isinstance(answer, asyncio.CancelledError) for answer in answers[1:])
