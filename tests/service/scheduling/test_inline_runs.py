"""Inline runs: an uncontended request runs in its own thread, and those that come meanwhile wait their turn."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import QueueFull
from service.inference import InferenceFailed
from service.scheduling.cost_model import BatchCloseReason
from service.scheduling.work import Work
from tests.service.scheduling.doubling_network import BAD, batching, begun, item, later, queued

pytestmark = pytest.mark.anyio


async def test_it_runs_in_the_calling_thread() -> None:
    with batching() as (session, batcher):
        session.gate.set()
        ran = batcher.run_inline(item(3), ["y"], Work(later()))
        assert ran is not None
        assert (ran.outputs["y"].item(), ran.queue_s, ran.batch_size, ran.close_reason) == (
            6,
            0,
            1,
            BatchCloseReason.IDLE,
        )
        assert session.threads == {threading.current_thread()}
        assert batcher.depth == 0


async def test_it_does_not_where_another_runs_or_waits_or_it_is_late() -> None:
    with batching(lanes=2, paying=False) as (session, batcher):
        assert batcher.run_inline(item(1), ["y"], Work(later(-1))) is None
        tasks = await queued(batcher, item(1))
        assert batcher.run_inline(item(2), ["y"], Work(later())) is None  # one of two lanes is idle
        session.gate.set()
        await asyncio.gather(*tasks)
    assert batcher.run_inline(item(3), ["y"], Work(later())) is None  # closed
    assert session.batches == [[1]]


async def test_who_comes_meanwhile_waits_is_counted_and_goes_next() -> None:
    with batching(length=3) as (session, batcher), ThreadPoolExecutor() as threads:
        alone = asyncio.wrap_future(threads.submit(batcher.run_inline, item(1), ["y"], Work(later())))
        await begun(session)
        assert batcher.depth == 1
        tasks = await queued(batcher, item(2), item(3))
        with pytest.raises(QueueFull):
            await batcher.submit(item(4), ["y"], Work(later()))
        session.gate.set()
        assert await asyncio.gather(*tasks) == [4, 6]
        assert await alone is not None
    assert session.batches == [[1], [2, 3]]


async def test_one_that_fails_leaves_the_lane_to_the_next() -> None:
    with batching() as (session, batcher):
        session.gate.set()
        with pytest.raises(InferenceFailed):
            batcher.run_inline(item(BAD), ["y"], Work(later()))
        assert batcher.depth == 0
        assert await asyncio.gather(*await queued(batcher, item(1))) == [2]


async def test_closing_waits_until_it_has_ended() -> None:
    with batching() as (session, batcher), ThreadPoolExecutor() as threads:
        alone = asyncio.wrap_future(threads.submit(batcher.run_inline, item(1), ["y"], Work(later())))
        await begun(session)
        closing = asyncio.wrap_future(threads.submit(batcher.close))
        await asyncio.sleep(0.05)
        assert not closing.done()
        session.gate.set()
        await closing
        assert alone.done() or await alone


@given(values=st.lists(st.integers(1, 99), min_size=1, max_size=30), lanes=st.integers(1, 3))
def test_whoever_runs_it_each_is_answered_once_and_with_its_own(values: list[int], lanes: int) -> None:
    async def scenario() -> list[float]:
        with batching(lanes=lanes) as (session, batcher), ThreadPoolExecutor(4) as threads:
            session.gate.set()

            async def answer(value: int) -> float:
                alone = partial(batcher.run_inline, item(value), ["y"], Work(later()))
                ran = await asyncio.get_running_loop().run_in_executor(threads, alone)
                ran = ran or await batcher.submit(item(value), ["y"], Work(later()))
                return float(ran.outputs["y"].item())

            answers = await asyncio.gather(*map(answer, values))
            assert batcher.depth == 0
            assert sorted(value for batch in session.batches for value in batch) == sorted(values)
            return answers

    assert asyncio.run(scenario()) == [2 * value for value in values]
