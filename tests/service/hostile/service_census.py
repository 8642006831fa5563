"""Census of a service: which processes it has, their memory and their open files, counted again and again."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import fmean

import psutil

PERIOD_S = 1.0
FORK_SERVER = "service.sandbox"


@dataclass(frozen=True)
class Count:
    """lasting: the processes that live as long as the service, all but the children of its fork servers."""

    lasting: frozenset[int]
    passing: frozenset[int]
    rss_bytes: int
    open_files: int


@dataclass
class Census:
    counts: list[Count] = field(default_factory=list)

    @property
    def lasting(self) -> set[frozenset[int]]:
        return {count.lasting for count in self.counts}

    @property
    def passing(self) -> set[int]:
        return set().union(*(count.passing for count in self.counts))

    def by_quarter(self, what: str) -> list[float]:
        """The mean of what was counted in each quarter of the time."""
        values = [getattr(count, what) for count in self.counts]
        ends = [len(values) * quarter // 4 for quarter in range(5)]
        return [fmean(values[start:end]) for start, end in pairwise(ends)]


def count(pid: int) -> Count:
    """Counts what runs now; a process that has just ended is left out."""
    lasting, passing, rss, files = set(), set(), 0, 0
    sandboxed: set[int] = set()  # fork servers and their children, which come after them
    main = psutil.Process(pid)
    for each in [main, *main.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess), each.oneshot():
            is_child = each.ppid() in sandboxed
            if is_child or FORK_SERVER in each.cmdline():
                sandboxed.add(each.pid)
            (passing if is_child else lasting).add(each.pid)
            rss += each.memory_info().rss
            files += 0 if is_child else each.num_fds()
    return Count(frozenset(lasting), frozenset(passing), rss, files)


@contextmanager
def counting(pid: int) -> Iterator[Census]:
    """Counts until the block ends."""
    census, ended = Census(), threading.Event()

    def go_on() -> None:
        while not ended.wait(PERIOD_S):
            census.counts.append(count(pid))

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield census
    finally:
        ended.set()
        thread.join()
