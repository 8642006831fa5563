"""The metrics of several processes: each writes its own to a file, and whoever is scraped adds the files up.

Counting costs what it costs in one process; prometheus_client's own way for several, values in mapped files, takes
three times as long for each count, can remove no series and asks no function. A process that is killed takes with it
what it counted since it last wrote; what has been scraped is never taken back.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from service.telemetry.log import log
from service.telemetry.metrics import ADDED, Metrics

_WRITE_S = 2.0
_ALIVE_S = 10.0  # the gauges of a process that has not written for so long tell of nothing that is

Family = tuple[bytes, bytes]  # its HELP line, its TYPE line
Series = dict[bytes, float]  # by name and labels, as they stand in the text


class MultiprocessMetrics:
    """This process's part, and everybody's together."""

    def __init__(self, metrics: Metrics, folder: Path, process: str) -> None:
        """process: a name that no other running process has. One that ended may have had it: its counts go on."""
        folder.mkdir(exist_ok=True)
        self._metrics, self._folder, self._file = metrics, folder, folder / f"{process}.prom"
        self._before = _counts(_read(self._file))
        self._lock = threading.Lock()

    def write(self) -> None:
        with self._lock:
            own = _parsed(self._metrics.exposition())
            _add(own, self._before)
            replace_by(self._file, _text(own))

    def exposition(self) -> bytes:
        """Prometheus' text. Writes first, so that nothing is shown that would be lost with this process."""
        self.write()
        together: dict[Family, Series] = {}
        for file in sorted(self._folder.glob("*.prom")):
            told = _parsed(file.read_bytes())
            alive = time.time() - file.stat().st_mtime < _ALIVE_S
            _add(together, told if alive else _counts(told))
        return _text(together)


async def keep_writing(write: Callable[[], None]) -> None:
    """Until it is cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            await loop.run_in_executor(None, write)
        except OSError as error:  # a full disk; what is counted meanwhile is written when there is room
            log.write("warning", "metrics not written", reason=error.strerror)
        await asyncio.sleep(_WRITE_S)


def replace_by(file: Path, content: bytes) -> None:
    """Whoever reads it meanwhile finds all of the former, or all of this."""
    draft = file.with_suffix(".draft")
    draft.write_bytes(content)
    draft.rename(file)


def _add(into: dict[Family, Series], more: dict[Family, Series]) -> None:
    """Adds what is counted; of a gauge of which each process has not a part, the highest is taken."""
    for family, series in more.items():
        known = into.setdefault(family, {})
        added = not _is_gauge(family) or _name(family) in ADDED
        for name, value in series.items():
            known[name] = known.get(name, 0.0) + value if added else max(known.get(name, value), value)


def _counts(told: dict[Family, Series]) -> dict[Family, Series]:
    return {family: series for family, series in told.items() if not _is_gauge(family)}


def _is_gauge(family: Family) -> bool:
    return family[1].endswith(b" gauge")


def _name(family: Family) -> str:
    return family[1].split()[2].decode()


def _read(file: Path) -> dict[Family, Series]:
    return _parsed(file.read_bytes()) if file.exists() else {}


def _parsed(text: bytes) -> dict[Family, Series]:
    """prometheus_client's text: of each metric a HELP line, a TYPE line, and a line a series."""
    told: dict[Family, Series] = {}
    about, series = b"", Series()
    for line in text.splitlines():
        if line.startswith(b"# HELP"):
            about = line
        elif line.startswith(b"# TYPE"):
            series = told.setdefault((about, line), {})
        else:
            name, _, value = line.rpartition(b" ")
            series[name] = float(value)
    return told


def _text(told: dict[Family, Series]) -> bytes:
    return b"\n".join(_lines(told)) + b"\n"


def _lines(told: dict[Family, Series]) -> Iterator[bytes]:
    for family, series in told.items():
        yield from family
        yield from (b"%s %r" % (name, value) for name, value in series.items())
