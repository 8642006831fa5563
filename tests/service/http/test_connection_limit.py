"""Tests of the bound on connections, and of which make room for another."""

import math
import resource
from collections.abc import Iterator

import pytest

from service.http.connection_limit import OTHER_FILES, make_room, most_connections, most_surplus

NO_LIMIT = resource.RLIM_INFINITY


class Silent:
    def __init__(self, since: float, *, unread: bool = False) -> None:
        self.since, self.is_open, self.unread = since, True, unread

    def behind_since(self) -> float:
        return self.since

    def has_sent(self) -> bool:
        return self.unread

    def end(self) -> None:
        self.is_open = False


def forget() -> None:
    most_connections.cache_clear()
    most_surplus.cache_clear()


@pytest.fixture(autouse=True)
def forget_the_limit() -> Iterator[None]:
    yield
    forget()


def limit_to(monkeypatch: pytest.MonkeyPatch, files: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    forget()


@pytest.mark.parametrize(
    ("files", "most", "surplus"),
    [(64, 32, 0), (128, 64, 16), (256, 128, 64), (1024, 896, 80), (2**20, 2048, 1024), (NO_LIMIT, 2048, 1024)],
)
def test_connections_leave_files_for_others(
    monkeypatch: pytest.MonkeyPatch, files: int, most: int, surplus: int
) -> None:
    limit_to(monkeypatch, files)
    assert (most_connections(), most_surplus()) == (most, surplus)
    assert files in (64, NO_LIMIT) or most + surplus <= files - OTHER_FILES


def test_those_that_have_been_silent_for_the_longest_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    limit_to(monkeypatch, 256)
    connections = [Silent(since) for since in (5.0, 3.0, math.inf, 4.0, 9.0)]
    assert make_room(connections, now=10.0)
    assert [each.is_open for each in connections] == [True, False, True, False, True]  # a 64th of all


def test_a_caller_between_two_packets_is_spared_unless_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    limit_to(monkeypatch, 128)
    few, many = [Silent(9.6) for _ in range(79)], [Silent(9.6) for _ in range(80)]
    assert not make_room(few, now=10.0)
    assert make_room(many, now=10.0)
    assert [sum(each.is_open for each in each_of) for each_of in (few, many)] == [79, 79]


def test_whoever_waits_for_its_answer_never_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    limit_to(monkeypatch, 128)
    connections = [Silent(math.inf) for _ in range(99)]
    assert not make_room(connections, now=10.0)
    assert all(each.is_open for each in connections)


def test_whoever_has_sent_what_nobody_has_read_yet_is_not_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    limit_to(monkeypatch, 128)
    connections = [Silent(1.0, unread=True), *(Silent(since) for since in (2.0, 3.0))]
    assert make_room(connections, now=10.0)
    assert [each.is_open for each in connections] == [True, False, True]
    assert not make_room(connections[:1], now=10.0)
