"""Multiprocess metrics: each process writes its own to a file, and the one that is scraped sums the files.

Counting is as fast as in a single process. prometheus_client's own multiprocess mode keeps values in mapped files: each
increment takes three times as long, series cannot be removed, and gauges cannot be computed at scrape time. A killed
process loses the counts since its last write, but a value that was scraped never decreases.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from service.telemetry.log import log
from service.telemetry.metrics import SUMMED_GAUGES, Metrics

_WRITE_S = 2.0
_STALE_S = 10.0  # gauges of a process that has not written for this long are ignored

Family = tuple[bytes, bytes]  # the HELP and TYPE lines of a metric
Series = dict[bytes, float]  # by name and labels, as in the exposition text


class MultiprocessMetrics:
    """The metrics of this process, and the sum over all processes."""

    def __init__(self, metrics: Metrics, folder: Path, process: str) -> None:
        """process: a name that no other running process has. A predecessor of the same name passes on its counts."""
        folder.mkdir(exist_ok=True)
        self._metrics, self._folder, self._file = metrics, folder, folder / f"{process}.prom"
        self._predecessor = _counters(_read(self._file))
        self._lock = threading.Lock()

    def write(self) -> None:
        with self._lock:
            own = _parsed(self._metrics.exposition())
            _add(own, self._predecessor)
            replace_file(self._file, _text(own))

    def exposition(self) -> bytes:
        """Returns the exposition text. Writes first: nothing may be shown that would be lost with this process."""
        self.write()
        total: dict[Family, Series] = {}
        for file in sorted(self._folder.glob("*.prom")):
            families = _parsed(file.read_bytes())
            is_alive = time.time() - file.stat().st_mtime < _STALE_S
            _add(total, families if is_alive else _counters(families))
        return _text(total)


async def write_periodically(write: Callable[[], None]) -> None:
    """Calls `write` every two seconds until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            await loop.run_in_executor(None, write)
        except OSError as error:  # a full disk; the counts are written once there is room
            log.write("warning", "metrics not written", reason=error.strerror)
        await asyncio.sleep(_WRITE_S)


def replace_file(file: Path, content: bytes) -> None:
    """Replaces a file atomically: a reader finds the old content or the new."""
    draft = file.with_suffix(".draft")
    draft.write_bytes(content)
    draft.rename(file)


def _add(into: dict[Family, Series], more: dict[Family, Series]) -> None:
    """Sums counters and summed gauges; of any other gauge, keeps the maximum."""
    for family, series in more.items():
        sums = into.setdefault(family, {})
        is_summed = not _is_gauge(family) or _name(family) in SUMMED_GAUGES
        for name, value in series.items():
            sums[name] = sums.get(name, 0.0) + value if is_summed else max(sums.get(name, value), value)


def _counters(families: dict[Family, Series]) -> dict[Family, Series]:
    return {family: series for family, series in families.items() if not _is_gauge(family)}


def _is_gauge(family: Family) -> bool:
    return family[1].endswith(b" gauge")


def _name(family: Family) -> str:
    return family[1].split()[2].decode()


def _read(file: Path) -> dict[Family, Series]:
    return _parsed(file.read_bytes()) if file.exists() else {}


def _parsed(text: bytes) -> dict[Family, Series]:
    """Parses exposition text: per metric a HELP line, a TYPE line, and a line per series."""
    families: dict[Family, Series] = {}
    help_line, series = b"", Series()
    for line in text.splitlines():
        if line.startswith(b"# HELP"):
            help_line = line
        elif line.startswith(b"# TYPE"):
            series = families.setdefault((help_line, line), {})
        else:
            name, _, value = line.rpartition(b" ")
            series[name] = float(value)
    return families


def _text(families: dict[Family, Series]) -> bytes:
    return b"\n".join(_lines(families)) + b"\n"


def _lines(families: dict[Family, Series]) -> Iterator[bytes]:
    for family, series in families.items():
        yield from family
        yield from (b"%s %r" % (name, value) for name, value in series.items())
