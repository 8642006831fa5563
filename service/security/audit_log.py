"""Audit log: a hash chain with one JSON line per response, each holding the SHA-256 of the line before it.

    python -m service.manage audit verify audit.jsonl

A line holds digests, never a pixel or a name. `<file>.head` holds the number and digest of the last line, which reveals
truncation, and the lock that several processes share. A file that reaches its size limit is renamed to
`<file>.<number of its last line>`, and the next file continues the chain. No number is given to two lines: where the
file lacks lines that were written, the next one is refused, or records which are lost.
"""

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path

import orjson

from service.security.audit_chain import (
    GENESIS,
    HEAD_BYTES,
    BrokenChain,
    ChainLink,
    format_head,
    head_of,
    parse_head,
    rotated_files,
    rotated_name,
)
from service.security.audit_end import ELSEWHERE, End, check_continues, lines_of_others, read_end
from service.security.path_file import PathFile
from service.settings import AuditGap


class AuditLog:
    """An audit log that one or several processes append to. Raises OSError if it cannot be opened."""

    def __init__(self, path: Path, *, file_bytes: int, gap: AuditGap = "refuse") -> None:
        """gap: what to do where lines are missing at the end: refuse the next line, or record which are lost."""
        self._path, self._file_bytes, self._gap = path, file_bytes, gap
        self._head, self._file = PathFile(head_of(path)), PathFile(path)
        self._last, self._last_head = End(GENESIS, *ELSEWHERE), b""  # as this process left the log
        self._lock = threading.Lock()
        self.failure = ""  # why the last line could not be written
        with suppress(BrokenChain):  # the service starts, and says why it is not ready
            self._attempt(self._end)

    def append(self, facts: dict[str, object]) -> None:
        """Appends a line with these facts. Raises OSError and BrokenChain, and then leaves the log unchanged.

        The line is handed to the operating system: it survives the end of this process, but not a power cut.
        """
        self._attempt(partial(self._append, facts))

    def check(self) -> None:
        """Sets `failure`; after one, tries to append a line that records the interruption."""
        with suppress(OSError, BrokenChain):
            self._attempt(partial(self._append, {"resumed": True}) if self.failure else self._end)

    def close(self) -> None:
        self._file.close()
        self._head.close()

    def _attempt(self, step: Callable[[], object]) -> None:
        with self._lock:
            try:
                with self._locked():
                    step()
            except (OSError, BrokenChain) as error:
                self.failure = getattr(error, "strerror", None) or str(error)  # without a path: anyone may ask /readyz
                raise
            self.failure = ""

    def _append(self, facts: dict[str, object]) -> None:
        last, written = self._end()
        if last.link != written:
            lost = [last.link.number + 1, written.number]
            self._write({"lost": lost, "lost_sha256": written.sha256}, written.number + 1, after=last)
            last = self._last
        self._write(facts, last.link.number + 1, after=last)

    def _write(self, facts: dict[str, object], number: int, *, after: End) -> None:
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = orjson.dumps({"n": number, "time": time, **facts, "former": after.link.sha256})
        begin = after.end
        if 0 < begin >= self._file_bytes - len(line):  # the line feed counts too
            self._rotate(number - 1)
            begin = 0
        link = ChainLink(number, sha256(line).hexdigest())
        head = format_head(link)
        try:
            write_all(self._file.descriptor, line + b"\n")
            os.pwrite(self._head.descriptor, head, 0)
        except OSError:
            os.ftruncate(self._file.descriptor, begin)
            raise
        self._last, self._last_head = End(link, begin, begin + len(line) + 1), head

    def _rotate(self, number: int) -> None:
        name = rotated_name(self._path, number)
        if name.exists():
            raise FileExistsError(f"{name} exists already, and no file of the log may be overwritten")
        self._path.rename(name)
        self._file.open(os.O_APPEND | os.O_CREAT)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Excludes other writing processes, by a lock on the head that is at its path while the lock is held."""
        while True:
            if not self._head.in_place():
                self._open_head()
            fcntl.flock(self._head.descriptor, fcntl.LOCK_EX)
            try:
                if self._head.in_place():
                    yield
                    return
            finally:
                fcntl.flock(self._head.descriptor, fcntl.LOCK_UN)

    def _open_head(self) -> None:
        if self._is_empty():
            self._head.open(os.O_CREAT)
            return
        try:
            self._head.open(0)
        except FileNotFoundError as error:
            raise BrokenChain(f"{head_of(self._path).name} is missing, so missing lines cannot be detected") from error

    def _is_empty(self) -> bool:
        return not rotated_files(self._path) and not (self._path.exists() and self._path.stat().st_size)

    def _end(self) -> tuple[End, ChainLink]:
        """Returns the last line, and the last that was ever written: a later one if lines are missing and gap allows.

        Raises BrokenChain and OSError. It is fast unless something but a process of this service has changed the log.
        """
        head = os.pread(self._head.descriptor, HEAD_BYTES + 1, 0)
        if (file := self._file.in_place()) is None:
            self._last = End(self._last.link, *ELSEWHERE)
            file = self._file.open(os.O_APPEND | os.O_CREAT)
        if head == self._last_head and file.st_size == self._last.end:
            return self._last, self._last.link
        if others := lines_of_others(self._file.descriptor, file.st_size, head=head, known=self._last):
            self._last, self._last_head = others, head
            return others, others.link
        written = self._last_written(head)
        last = read_end(self._path, self._file.descriptor, file.st_size, written=written)
        is_behind = last.link.number < written.number
        if is_behind and self._gap == "refuse":
            raise BrokenChain(
                f"lines {last.link.number + 1} to {written.number} are missing at the end of {self._path.name}. To "
                f"continue after line {written.number}, rename it to {rotated_name(self._path, written.number).name}"
            )
        if not is_behind:
            check_continues(self._path, self._file.descriptor, last, written=written, known=self._last)
            self._last, self._last_head = last, head
        if last.end < file.st_size:  # a partial line, which a crash before its response left
            os.ftruncate(self._file.descriptor, last.end)
        return last, max(last.link, written)

    def _last_written(self, head: bytes) -> ChainLink:
        """Returns the last line that the head or this process knows of. Raises BrokenChain."""
        if not head and self._is_empty():
            os.pwrite(self._head.descriptor, format_head(GENESIS), 0)
            return self._last.link
        link = parse_head(head, self._path)
        if link.number == self._last.link.number and link != self._last.link:
            raise BrokenChain(f"{head_of(self._path).name} was changed: line {link.number} has another digest")
        return max(link, self._last.link)


def write_all(file: int, line: bytes) -> None:
    """Writes the whole line. Raises OSError, possibly after a part: a full disk may accept some bytes first."""
    while line:
        line = line[os.write(file, line) :]
