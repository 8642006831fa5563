"""Memory groups: a limit that the kernel enforces as for a container, by killing, on the processes of a test."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.service.service_processes import until

_GROUPS = Path("/sys/fs/cgroup")


class MemoryGroup:
    """A group of processes with a limit of memory, page cache and temporary files included."""

    def __init__(self, folder: Path, *, limit: str, peak: str, events: str) -> None:
        self._folder, self._limit, self._peak, self._events = folder, limit, peak, events

    @property
    def command(self) -> list[str]:
        """Words before those of a command that is to run in the group."""
        return ["sh", "-c", f'echo $$ > {self._folder}/cgroup.procs && exec "$@"', "sh"]

    @property
    def kills(self) -> int:
        """Processes that were killed for want of memory."""
        lines = (self._folder / self._events).read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))

    @property
    def peak_bytes(self) -> int:
        return int((self._folder / self._peak).read_text())

    def limit_to(self, nbytes: int) -> None:
        (self._folder / self._limit).write_text(str(nbytes))


@contextmanager
def memory_group(nbytes: int) -> Iterator[MemoryGroup]:
    """A group while the block runs, soon after which all its processes must have ended. Skips where it cannot be."""
    if (parent := _GROUPS / "memory").is_dir():
        names = {"limit": "memory.limit_in_bytes", "peak": "memory.max_usage_in_bytes", "events": "memory.oom_control"}
    else:
        parent, names = _GROUPS, {"limit": "memory.max", "peak": "memory.peak", "events": "memory.events"}
    folder = parent / f"striate-test-{os.getpid()}"
    group = MemoryGroup(folder, **names)
    try:
        folder.mkdir()
        group.limit_to(nbytes)
    except OSError as error:
        pytest.skip(f"No memory group can be made here: {error}")
    try:
        yield group
    finally:
        until(lambda: not (folder / "cgroup.procs").read_text())
        folder.rmdir()
