"""Connection limit: the most connections at once, fewer than the process may open files, and which make room."""

import math
import resource
from collections.abc import Iterable
from functools import cache
from typing import Protocol

MOST_CONNECTIONS = 2048  # each may take some hundred KiB that no budget counts
SPARE_FILES = 128  # for models, threads and whatever else opens files; of a low limit it is half
_SHARE = 64  # this part of all connections is closed at once, so that a flood does not sort them each time


class Waiting(Protocol):
    """A connection."""

    def behind_since(self) -> float:
        """Returns since when its caller owes it bytes; infinity while the caller owes nothing."""

    def end(self) -> None:
        """Closes it at once."""


@cache
def most_connections() -> int:
    """Returns how many connections this process may have."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if files == resource.RLIM_INFINITY else _fitting(files)


def make_room(connections: Iterable[Waiting], *, most: int) -> bool:
    """Ends the connections whose callers have been silent for the longest; returns whether there were any."""
    owing = [(since, each) for each in connections if (since := each.behind_since()) < math.inf]
    owing.sort(key=lambda entry: entry[0])
    for _, each in owing[: max(1, most // _SHARE)]:
        each.end()
    return bool(owing)


def _fitting(files: int) -> int:
    return min(MOST_CONNECTIONS, max(files // 2, files - SPARE_FILES))
