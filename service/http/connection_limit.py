"""Connection limit: the most connections at once, fewer than the process may open files, and which make room."""

import resource
from collections.abc import Collection
from functools import cache
from itertools import islice
from typing import Protocol

MOST_CONNECTIONS = 2048  # each may take some hundred KiB that no budget counts
SPARE_FILES = 128  # for whatever else opens files, and for connections that wait; of a low limit it is half
OTHER_FILES = 48  # of these, never for connections
_FRESH_S = 0.5  # before a new caller is silent; on a busy machine a request follows its connection late
_SHARE = 64  # this part of all connections is closed at once, so that a flood does not sort them each time


class Waiting(Protocol):
    """A connection."""

    def behind_since(self) -> float:
        """Returns since when its caller owes it bytes; infinity while the caller owes nothing."""

    def has_sent(self) -> bool:
        """Returns whether bytes that its caller owed have come, and have not been read yet."""

    def end(self) -> None:
        """Closes it at once."""


@cache
def most_connections() -> int:
    """Returns how many connections this process may have."""
    return min(MOST_CONNECTIONS, max(_files() // 2, _files() - SPARE_FILES))


@cache
def most_surplus() -> int:
    """Returns how many further connections may wait for room."""
    return max(0, min(most_connections() // 2, _files() - most_connections() - OTHER_FILES))


@cache
def most_waiting() -> int:
    """Returns how many of these may wait with a request; the rest is for probes, and for who has just connected."""
    return most_surplus() // 2


def make_room(connections: Collection[Waiting], *, now: float) -> bool:
    """Ends the connections whose callers have been silent for the longest; returns whether there were any.

    Whoever has just connected is spared while there may still be some more.
    """
    most = most_connections()
    before = now - _FRESH_S if len(connections) < most + most_surplus() else now
    silent = [(since, each) for each in connections if (since := each.behind_since()) <= before]
    silent.sort(key=lambda entry: entry[0])
    ended = list(islice((each for _, each in silent if not each.has_sent()), max(1, most // _SHARE)))
    for each in ended:
        each.end()
    return bool(ended)


def _files() -> int:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**20 if files == resource.RLIM_INFINITY else files
