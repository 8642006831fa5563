"""Tests of the fair pool: owners take turns, none has more than its share, and what waits can be cancelled."""

import threading
from collections.abc import Iterator
from concurrent.futures import wait
from contextlib import contextmanager

import pytest

from service.repository.fair_pool import FairPool


@contextmanager
def pool(threads: int, *, share: int) -> Iterator[tuple[FairPool, threading.Event]]:
    """Yields a pool, and the event at which the test's endless functions end."""
    of_test, end = FairPool(threads, share=share), threading.Event()
    try:
        yield of_test, end
    finally:
        end.set()
        of_test.close()


def test_one_owner_leaves_threads_to_the_others() -> None:
    with pool(4, share=2) as (fair, end):
        endless = [fair.submit("a", end.wait) for _ in range(100)]
        assert [fair.submit("b", lambda n=n: n).result(timeout=60) for n in range(5)] == list(range(5))
        assert sum(each.running() for each in endless) == 2
        end.set()
        wait(endless, timeout=60)
        assert all(each.result() for each in endless)


def test_owners_take_turns() -> None:
    order: list[str] = []
    with pool(1, share=1) as (fair, end):
        first = fair.submit("z", end.wait)
        rest = [fair.submit(owner, lambda owner=owner: order.append(owner)) for owner in "aaabbcz"]
        end.set()
        wait([first, *rest], timeout=60)
    assert "".join(order) == "abczaba"


def test_what_waits_can_be_cancelled_and_what_fails_says_why() -> None:
    def fail() -> None:
        raise ValueError("no")

    with pool(1, share=1) as (fair, end):
        running, waiting, failing = fair.submit("a", end.wait), fair.submit("a", end.wait), fair.submit("b", fail)
        assert waiting.cancel()
        end.set()
        with pytest.raises(ValueError, match="no"):
            failing.result(timeout=60)
        assert running.result()
        assert fair.submit("a", lambda: 1).result(timeout=60) == 1
