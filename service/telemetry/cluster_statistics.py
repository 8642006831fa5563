"""Cluster statistics: model statistics summed over all front ends, each of which writes its own to a file."""

import threading
from collections.abc import Callable
from pathlib import Path

import orjson
from pydantic import TypeAdapter

from service.telemetry.model_metrics import Statistics
from service.telemetry.multiprocess import replace_file

Counts = dict[str, Statistics]  # by the package's digest

_FILE = TypeAdapter(Counts)


class ClusterStatistics:
    """The statistics of this process and of all front ends together."""

    def __init__(self, own_counts: Callable[[], Counts | None]) -> None:
        """own_counts: returns this process's statistics; None before its models are loaded."""
        self._own_counts = own_counts
        self._file: Path | None = None
        self._predecessor: Counts = {}
        self._lock = threading.Lock()

    def attach(self, folder: Path, process: str) -> Callable[[], None]:
        """Shares the statistics through a folder; returns the function that writes this process's file.

        process: a name that no other running process has. A process that replaces it takes over the name.
        """
        folder.mkdir(exist_ok=True)
        self._file = folder / f"{process}.json"
        self._predecessor = _read(self._file) if self._file.exists() else {}
        return self._write

    def total(self) -> Counts:
        """Returns the sum over all front ends. Raises OSError.

        It writes this process's file first: nothing may be reported that would be lost with this process.
        """
        if self._file is None:
            return self._own_counts() or {}
        self._write()
        total: Counts = {}
        for file in self._file.parent.glob("*.json"):
            total = _sum(total, _read(file))
        return total

    def _write(self) -> None:
        own = self._own_counts()
        if self._file is None or own is None:
            return
        with self._lock:  # a version that was unloaded and loaded again starts from zero
            self._predecessor = {digest: counts for digest, counts in self._predecessor.items() if digest in own}
            replace_file(self._file, orjson.dumps(_sum(own, self._predecessor), option=orjson.OPT_NON_STR_KEYS))


def _sum(one: Counts, other: Counts) -> Counts:
    return {digest: one.get(digest, Statistics()) + other.get(digest, Statistics()) for digest in {**one, **other}}


def _read(file: Path) -> Counts:
    return _FILE.validate_json(file.read_bytes())
