"""The audit log: one JSON line an answer, each with the SHA-256 of the line before it, so that no change goes unseen.

    python -m service.manage audit verify audit.jsonl

A line holds digests, never a pixel or a name. `<file>.head` holds the last line's number and digest, by which lines
cut off the end are missed, and the lock that several processes share. A file that has grown to its size is renamed to
`<file>.<number of its last line>`, and the next one goes on with the chain.
"""

import fcntl
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import orjson

_HEAD = re.compile(rb"(\d{12}) ([0-9a-f]{64})\n")
_TAIL_BYTES = 4096


class Last(NamedTuple):
    """A line's number, from 1 up, and the SHA-256 of its bytes without the line break."""

    number: int
    sha256: str


NOTHING = Last(0, "0" * 64)


class Broken(Exception):
    """The log is not what was written; the sentence says where."""


class AuditLog:
    """The log that one or several processes write. Raises OSError where it cannot be opened."""

    def __init__(self, path: Path, *, file_bytes: int) -> None:
        self._path, self._file_bytes = path, file_bytes
        self._head = os.open(_head_of(path), os.O_RDWR | os.O_CREAT, 0o600)
        self._file = self._open()
        self._known = (-1, NOTHING)  # the file's size after our last line, and that line
        self._alone = threading.Lock()
        self._failed = False

    def append(self, facts: dict[str, object]) -> None:
        """Writes a line of these facts. Raises OSError, and then leaves the log as it was.

        It is with the operating system then, and outlives this process, though not a power cut.
        """
        with self._alone:
            self._failed = True  # until it is written
            self._append(facts)
            self._failed = False

    def is_written(self) -> bool:
        """Whether lines can be written. Where the last could not, one is tried that says that answers were withheld."""
        if self._failed:
            with suppress(OSError):
                self.append({"resumed": True})
        return not self._failed

    def _append(self, facts: dict[str, object]) -> None:
        with self._locked():
            last = self._last()
            time = datetime.now(UTC).isoformat(timespec="milliseconds")
            line = orjson.dumps({"n": last.number + 1, "time": time, **facts, "former": last.sha256})
            if 0 < os.fstat(self._file).st_size >= self._file_bytes - len(line):  # the line feed counts too
                self._rotate(last)
            size = os.fstat(self._file).st_size
            written = Last(last.number + 1, sha256(line).hexdigest())
            try:
                _write(self._file, line + b"\n")
                os.pwrite(self._head, b"%012d %s\n" % (written.number, written.sha256.encode()), 0)
            except OSError:
                os.ftruncate(self._file, size)
                raise
            self._known = (size + len(line) + 1, written)

    def close(self) -> None:
        os.close(self._file)
        os.close(self._head)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone among the processes that write, and with the file that has the name now: ours may have been renamed."""
        fcntl.flock(self._head, fcntl.LOCK_EX)
        try:
            if not self._path.exists() or self._path.stat().st_ino != os.fstat(self._file).st_ino:
                self._reopen()
            yield
        finally:
            fcntl.flock(self._head, fcntl.LOCK_UN)

    def _last(self) -> Last:
        size = os.fstat(self._file).st_size
        if size != self._known[0]:
            last = _last_line(self._file, size)
            self._known = (os.fstat(self._file).st_size, last or _read_head(_head_of(self._path)) or NOTHING)
        return self._known[1]

    def _rotate(self, last: Last) -> None:
        self._path.rename(f"{self._path}.{last.number:012d}")
        self._reopen()

    def _reopen(self) -> None:
        os.close(self._file)
        self._file = self._open()
        self._known = (-1, NOTHING)

    def _open(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)


def verify(path: Path, *, first: int = 1, anchor: Last | None = None) -> Last:
    """The last line of a log that is whole from line `first` on. Raises Broken.

    anchor: a line noted elsewhere earlier, which must be there still. It is what finds a log that somebody wrote anew
    from beginning to end, head and all: digests without a secret bind the lines to each other, not to the writer.
    """
    head = _read_head(_head_of(path))
    if head is None:
        raise Broken(
            f"{_head_of(path)} is missing or unreadable, so nobody can tell whether lines are missing at the end"
        )
    wanted = {head, anchor} - {None}
    last = NOTHING
    files = sorted(path.parent.glob(f"{path.name}.{'[0-9]' * 12}"))
    for file in [*files, path] if path.exists() else files:  # there is none between the renaming and the next line
        with file.open("rb") as lines:
            for line in lines:
                last = _follows(line, last, first=first, file=file)
                wanted.discard(last)
    if wanted:
        told = ", ".join(f"{each.number}:{each.sha256}" for each in sorted(filter(None, wanted)))
        raise Broken(f"the log ends with line {last.number} and lacks {told}: lines at the end were removed or changed")
    return last


def _follows(line: bytes, last: Last, *, first: int, file: Path) -> Last:
    """This line, if it is the one after `last`."""
    number = last.number + 1 if last is not NOTHING else first
    try:
        facts = orjson.loads(line)
        found = (facts["n"], facts["former"])
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise Broken(f"{file}: line {number} cannot be read") from error
    if not line.endswith(b"\n"):
        raise Broken(f"{file}: line {number} is cut short")
    if found[0] != number:
        raise Broken(f"{file}: where line {number} belongs is line {found[0]}: lines were removed, added or reordered")
    if found[1] != last.sha256 and not (last is NOTHING and first > 1):
        raise Broken(f"{file}: line {number} does not follow from the line before it, which was changed")
    return Last(number, sha256(line[:-1]).hexdigest())


def _last_line(file: int, size: int) -> Last | None:
    """The file's last whole line. What follows it was cut short by a crash: its answer was never given, and it goes."""
    reach = _TAIL_BYTES
    while True:
        tail = os.pread(file, min(reach, size), max(0, size - reach))
        end = tail.rfind(b"\n")
        begin = tail.rfind(b"\n", 0, max(end, 0))
        if reach >= size or (end != -1 and begin != -1):
            break
        reach *= 16
    if end + 1 < len(tail):
        os.ftruncate(file, size - len(tail) + end + 1)
    line = tail[begin + 1 : end]
    return Last(orjson.loads(line)["n"], sha256(line).hexdigest()) if end != -1 else None


def _write(file: int, line: bytes) -> None:
    """All of it, or OSError: a full disk may take a part first."""
    while line:
        line = line[os.write(file, line) :]


def _head_of(path: Path) -> Path:
    return path.with_name(path.name + ".head")


def _read_head(path: Path) -> Last | None:
    found = _HEAD.fullmatch(path.read_bytes()) if path.exists() else None
    return Last(int(found[1]), found[2].decode()) if found else None
