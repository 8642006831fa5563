"""Audit log: a hash chain with one JSON line per response, each holding the SHA-256 of the line before it.

    python -m service.manage audit verify audit.jsonl

A line holds digests, never a pixel or a name. `<file>.head` holds the number and digest of the last line, which reveals
truncation, and the lock that several processes share. A file that reaches its size limit is renamed to
`<file>.<number of its last line>`, and the next file continues the chain.
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


class ChainLink(NamedTuple):
    """A line's number, counted from 1, and the SHA-256 of its bytes without the line break."""

    number: int
    sha256: str


GENESIS = ChainLink(0, "0" * 64)


class BrokenChain(Exception):
    """The log is not what was written; the message says where."""


class AuditLog:
    """An audit log that one or several processes append to. Raises OSError if it cannot be opened."""

    def __init__(self, path: Path, *, file_bytes: int) -> None:
        self._path, self._file_bytes = path, file_bytes
        self._head = os.open(_head_of(path), os.O_RDWR | os.O_CREAT, 0o600)
        self._file = self._open()
        self._cached = (-1, GENESIS)  # the file's size after this process's last line, and that line
        self._lock = threading.Lock()
        self._failed = False

    def append(self, facts: dict[str, object]) -> None:
        """Appends a line with these facts. Raises OSError, and then leaves the log unchanged.

        The line is handed to the operating system: it survives the end of this process, but not a power cut.
        """
        with self._lock:
            self._failed = True  # until it is written
            self._append(facts)
            self._failed = False

    def is_writable(self) -> bool:
        """Returns whether lines can be written; after a failure, tries to append one that records the interruption."""
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
            written = ChainLink(last.number + 1, sha256(line).hexdigest())
            try:
                write_all(self._file, line + b"\n")
                os.pwrite(self._head, b"%012d %s\n" % (written.number, written.sha256.encode()), 0)
            except OSError:
                os.ftruncate(self._file, size)
                raise
            self._cached = (size + len(line) + 1, written)

    def close(self) -> None:
        os.close(self._file)
        os.close(self._head)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Excludes other writing processes, and reopens the file if another process has rotated it."""
        fcntl.flock(self._head, fcntl.LOCK_EX)
        try:
            if not self._path.exists() or self._path.stat().st_ino != os.fstat(self._file).st_ino:
                self._reopen()
            yield
        finally:
            fcntl.flock(self._head, fcntl.LOCK_UN)

    def _last(self) -> ChainLink:
        size = os.fstat(self._file).st_size
        if size != self._cached[0]:
            last = _last_line(self._file, size)
            self._cached = (os.fstat(self._file).st_size, last or _read_head(_head_of(self._path)) or GENESIS)
        return self._cached[1]

    def _rotate(self, last: ChainLink) -> None:
        self._path.rename(f"{self._path}.{last.number:012d}")
        self._reopen()

    def _reopen(self) -> None:
        os.close(self._file)
        self._file = self._open()
        self._cached = (-1, GENESIS)

    def _open(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)


def verify(path: Path, *, first: int = 1, anchor: ChainLink | None = None) -> ChainLink:
    """Returns the last line of a log that is intact from line `first` on. Raises BrokenChain.

    anchor: an earlier line that was stored elsewhere and must still be in the log. It detects a log that was rewritten
    from beginning to end, head included: digests without a secret bind lines to each other, not to their writer.
    """
    head = _read_head(_head_of(path))
    if head is None:
        raise BrokenChain(f"{_head_of(path)} is missing or unreadable, so missing lines at the end cannot be detected")
    required = {head, anchor} - {None}
    last = GENESIS
    files = sorted(path.parent.glob(f"{path.name}.{'[0-9]' * 12}"))
    for file in [*files, path] if path.exists() else files:  # it is absent between a rotation and the next line
        with file.open("rb") as lines:
            for line in lines:
                last = _check_line(line, last, first=first, file=file)
                required.discard(last)
    if required:
        missing = ", ".join(f"{link.number}:{link.sha256}" for link in sorted(filter(None, required)))
        raise BrokenChain(
            f"the log ends at line {last.number} without {missing}: lines at the end were removed or changed"
        )
    return last


def _check_line(line: bytes, last: ChainLink, *, first: int, file: Path) -> ChainLink:
    """Returns the link of this line if it follows `last`. Raises BrokenChain."""
    number = last.number + 1 if last is not GENESIS else first
    try:
        facts = orjson.loads(line)
        stored, previous = facts["n"], facts["former"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise BrokenChain(f"{file}: line {number} cannot be read") from error
    if not line.endswith(b"\n"):
        raise BrokenChain(f"{file}: line {number} is truncated")
    if stored != number:
        raise BrokenChain(
            f"{file}: expected line {number}, found line {stored}: lines were removed, added or reordered"
        )
    if previous != last.sha256 and not (last is GENESIS and first > 1):
        raise BrokenChain(f"{file}: line {number} does not match the digest of the line before it, which was changed")
    return ChainLink(number, sha256(line[:-1]).hexdigest())


def _last_line(file: int, size: int) -> ChainLink | None:
    """Returns the file's last whole line, and drops a partial one after it.

    A partial line is left by a crash before its response was sent.
    """
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
    return ChainLink(orjson.loads(line)["n"], sha256(line).hexdigest()) if end != -1 else None


def write_all(file: int, line: bytes) -> None:
    """Writes the whole line. Raises OSError, possibly after a part: a full disk may accept some bytes first."""
    while line:
        line = line[os.write(file, line) :]


def _head_of(path: Path) -> Path:
    return path.with_name(path.name + ".head")


def _read_head(path: Path) -> ChainLink | None:
    match = _HEAD.fullmatch(path.read_bytes()) if path.exists() else None
    return ChainLink(int(match[1]), match[2].decode()) if match else None
