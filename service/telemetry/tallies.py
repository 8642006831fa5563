"""Model statistics summed over all front ends, each of which writes its own to a file."""

import threading
from collections.abc import Callable
from pathlib import Path

import orjson
from pydantic import TypeAdapter

from service.telemetry.model_statistics import Statistics
from service.telemetry.multiprocess import replace_by

Counts = dict[str, Statistics]  # by the package's digest

_FILE = TypeAdapter(Counts)


class ClusterStatistics:
    """This process's own counts, and everybody's together. own: None while nothing is served."""

    def __init__(self, own: Callable[[], Counts | None]) -> None:
        self._own = own
        self._file: Path | None = None
        self._before: Counts = {}
        self._lock = threading.Lock()

    def share(self, folder: Path, process: str) -> Callable[[], None]:
        """What writes the file; process: a name that no other running process has, and that its successor takes."""
        folder.mkdir(exist_ok=True)
        self._file = folder / f"{process}.json"
        self._before = _read(self._file) if self._file.exists() else {}
        return self._write

    def together(self) -> Counts:
        """Writes first, so that nothing is told that would be lost with this process. Raises OSError."""
        if self._file is None:
            return self._own() or {}
        self._write()
        told: Counts = {}
        for file in self._file.parent.glob("*.json"):
            told = _sum(told, _read(file))
        return told

    def _write(self) -> None:
        own = self._own()
        if self._file is None or own is None:
            return
        with self._lock:  # a version that was freed and loaded again begins anew
            self._before = {digest: counts for digest, counts in self._before.items() if digest in own}
            replace_by(self._file, orjson.dumps(_sum(own, self._before), option=orjson.OPT_NON_STR_KEYS))


def _sum(one: Counts, other: Counts) -> Counts:
    return {digest: one.get(digest, Statistics()) + other.get(digest, Statistics()) for digest in {**one, **other}}


def _read(file: Path) -> Counts:
    return _FILE.validate_json(file.read_bytes())
