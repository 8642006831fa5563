"""Tests of the work queue: whose turn it is."""

from collections.abc import Iterator

import pytest

from service.scheduling.work_queue import WorkQueue
from tests.service.scheduling.doubling_network import BULK, INTERACTIVE
from tests.service.scheduling.work_items import work_item

pytestmark = pytest.mark.anyio


def popped(queue: WorkQueue) -> Iterator[int]:
    """The numbers of all items, each taken at its group's turn."""
    while queue:
        item = queue.pop(queue.next_group()[0].group)
        assert item is not None
        yield item.number


async def test_the_oldest_goes_first_whatever_its_shape() -> None:
    queue = WorkQueue()
    queue.add([work_item(n, height=1 + n % 3) for n in range(9)])
    assert len(queue) == 9
    assert list(popped(queue)) == list(range(9))
    assert len(queue) == 0


async def test_interactive_items_go_first_but_each_fifth_turn_is_of_bulk() -> None:
    queue = WorkQueue()
    queue.add([work_item(n, priority=BULK) for n in (1, 2)])
    queue.add([work_item(n, priority=INTERACTIVE) for n in range(10, 20)])
    assert list(popped(queue)) == [10, 11, 12, 13, 1, 14, 15, 16, 17, 2, 18, 19]


async def test_turns_are_counted_only_while_bulk_waits() -> None:
    queue = WorkQueue()
    queue.add([work_item(n) for n in range(4)])
    assert list(popped(queue)) == [0, 1, 2, 3]
    queue.add([work_item(10, priority=BULK), work_item(11)])
    assert list(popped(queue)) == [11, 10]


async def test_an_item_that_leaves_takes_its_group_along_if_it_was_the_last() -> None:
    queue = WorkQueue()
    one, other, apart = work_item(1), work_item(2), work_item(3, height=2)
    queue.add([one, other, apart])
    assert list(queue.next_group()) == [one, other]
    queue.remove(one)
    queue.remove(apart)
    assert queue.items() == [other]
    assert queue.pop(apart.group) is None
    assert queue.pop(one.group) is other  # the same group
    assert not queue
