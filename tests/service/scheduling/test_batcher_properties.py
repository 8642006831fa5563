"""Properties of the batcher that hold whatever comes, in whatever order: nothing is lost, and turns are fair."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from service.errors import DeadlinePassed
from service.inference import InferenceFailed
from service.scheduling.batcher import Batcher
from service.scheduling.work import Priority, Work
from tests.service.scheduling.doubling_network import BAD, INTERACTIVE, batching, item, later, queued, until

sizes = st.sampled_from((1, 2))
fates = st.sampled_from(("answered", "answered", "answered", "bad", "late", "gone"))
wishes = st.tuples(st.sampled_from(Priority), sizes, fates)


@given(wishes=st.lists(wishes, max_size=25), lanes=st.integers(1, 3), paying=st.booleans())
def test_no_request_is_lost_or_answered_with_anothers(
    wishes: list[tuple[Priority, int, str]], lanes: int, paying: bool
) -> None:
    """Whatever comes in whatever order: each good one gets its own answer, once, and no other's trouble."""

    async def ask(batcher: Batcher, value: float, priority: Priority, height: int, fate: str) -> object:
        tensor = item(BAD if fate == "bad" else value, height=height)
        deadline = later(0.0 if fate == "late" else 120.0)
        ran = await batcher.submit(tensor, ["y"], Work(deadline, priority, has_place=True))
        return ran.outputs["y"].ravel().tolist()

    async def scenario() -> None:
        with batching(lanes=lanes, paying=paying) as (session, batcher):
            tasks = [asyncio.create_task(ask(batcher, n, *wish)) for n, wish in enumerate(wishes, start=1)]
            await asyncio.sleep(0)
            for task, (_, _, fate) in zip(tasks, wishes):
                if fate == "gone":
                    task.cancel()
            session.gate.set()
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            check(answers, wishes)
            ran = [value for values in session.batches for value in values]
            kept = [n for n, (_, _, fate) in enumerate(wishes, start=1) if fate == "answered"]
            never = [n for n, (_, _, fate) in enumerate(wishes, start=1) if fate == "late"]
            assert set(kept) <= set(ran)
            assert not set(never) & set(ran)
            assert session.most <= lanes
            await until(lambda: batcher.depth == 0)  # a run goes on for a moment after its caller has gone

    asyncio.run(scenario())


def check(answers: list[object], wishes: list[tuple[Priority, int, str]]) -> None:
    errors = {"bad": InferenceFailed, "late": DeadlinePassed, "gone": asyncio.CancelledError}
    for n, (answer, (_, height, fate)) in enumerate(zip(answers, wishes), start=1):
        if fate == "answered":
            assert answer == [2.0 * n] * height
        else:
            assert isinstance(answer, errors[fate])


@given(wishes=st.lists(st.tuples(st.sampled_from(Priority), sizes), max_size=40))
def test_order_and_fairness(wishes: list[tuple[Priority, int]]) -> None:
    """Within a priority and a shape items begin in the order of arrival.

    The oldest of a priority is never passed over; interactive ones wait for at most one batch of bulk in five.
    """

    async def scenario() -> list[list[float]]:
        with batching() as (session, batcher):
            tasks = await queued(batcher, item(1000.0))  # keeps the lane busy until all are there
            for n, (priority, height) in enumerate(wishes):
                tasks += await queued(batcher, item(n, height=height), priority=priority)
            session.gate.set()
            await asyncio.gather(*tasks)
            return [sorted({int(value) for value in values}) for values in session.batches[1:]]

    waiting = dict(enumerate(wishes))
    turns = previous = 0
    for batch in asyncio.run(scenario()):
        (priority, height), head = wishes[batch[0]], batch[0]
        assert head == min(n for n, (other, _) in waiting.items() if other is priority)
        same = [n for n, wish in waiting.items() if wish == (priority, height)]
        assert batch == same[: len(batch)]
        both = len({other for other, _ in waiting.values()}) == 2
        turns = turns + 1 if both and priority is INTERACTIVE else 0
        assert turns <= 4
        assert priority is INTERACTIVE or not both or previous == 4
        previous = turns
        for n in batch:
            del waiting[n]
    assert not waiting
