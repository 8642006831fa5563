"""Hash chain of the audit log: its lines, the last line of a file, the head and the rotated files."""

import os
import re
from collections.abc import Iterable, Iterator
from glob import escape
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, NamedTuple

import orjson

LINE_BYTES = 2**20  # far more than the longest line, which has a digest for each of at most 1,000 images
_TAIL_BYTES = 4096
_HEAD = re.compile(rb"(\d{12}) ([0-9a-f]{64})\n")


class ChainLink(NamedTuple):
    """A line's number, counted from 1, and the SHA-256 of its bytes without the line break."""

    number: int
    sha256: str


class BrokenChain(Exception):
    """The log is not what was written; the message says where."""


LineRange = tuple[int, int]  # numbers of the first and the last line


class Line(NamedTuple):
    """A parsed line. former: the digest of the line before it. lost: the lines that it records as lost, if any."""

    number: int
    former: str
    lost: LineRange | None


class Tail(NamedTuple):
    """The end of a file: its last whole line, if it has one, where that begins, and the bytes after it."""

    line: bytes | None
    begin: int
    partial: bytes


GENESIS = ChainLink(0, "0" * 64)
HEAD_BYTES = 12 + 1 + 64 + 1
_LAST_NUMBER = 10**12 - 1


def parse_line(line: bytes, *, place: str) -> Line:
    """Parses a line without its line break. Raises BrokenChain, whose message begins with `place`."""
    try:
        facts = orjson.loads(line)
        number, former, lost = facts["n"], facts["former"], facts.get("lost")
        lost = None if lost is None else (int(lost[0]), int(lost[1]))
    except (orjson.JSONDecodeError, ValueError, LookupError, TypeError) as error:
        raise BrokenChain(f"{place} cannot be read") from error
    if type(number) is not int or not 0 < number <= _LAST_NUMBER:
        raise BrokenChain(f"{place} has the number {number!r:.40}")
    return Line(number, former, lost)


def links(lines: Iterable[bytes], last: ChainLink | None, *, file: str) -> Iterator[tuple[Line, ChainLink]]:
    """Yields each line with its link. Raises BrokenChain where one does not follow the line before.

    last: the line before the first; None if it is unknown.
    """
    for content in lines:
        place = f"line {last.number + 1}" if last else "the first line"
        line = parse_line(content, place=f"{file}: {place}")
        if last:
            _check_follows(line, last, file=file)
        last = ChainLink(line.number, sha256(content).hexdigest())
        yield line, last


def _check_follows(line: Line, last: ChainLink, *, file: str) -> None:
    expected = last.number + 1
    if line.lost != (expected, line.number - 1) and (line.lost or line.number != expected):
        raise BrokenChain(
            f"{file}: expected line {expected}, found line {line.number}: lines were removed, added or reordered"
        )
    if line.former != last.sha256:
        raise BrokenChain(
            f"{file}: line {line.number} does not match the digest of the line before it, which was changed"
        )


def lines(file: BinaryIO, size: int, *, name: str) -> Iterator[bytes]:
    """Yields the lines of the file's first `size` bytes, without line breaks. Raises BrokenChain for one without."""
    while size > 0:
        line = file.readline(min(LINE_BYTES, size))
        if not line.endswith(b"\n"):
            raise BrokenChain(f"{name}: the line that begins with {line[:40]!r} is truncated or too long")
        size -= len(line)
        yield line[:-1]


def tail(file: int, size: int) -> Tail:
    """Returns the end of a file of this size, in bounded time and memory. Raises BrokenChain if it has no lines."""
    for reach in (_TAIL_BYTES, 2 * LINE_BYTES):
        content = os.pread(file, min(reach, size), max(0, size - reach))
        whole, end, partial = content.rpartition(b"\n")
        begin = whole.rfind(b"\n") + 1
        if begin or reach >= size:
            return Tail(whole[begin:] if end else None, size - len(content) + begin, partial)
    raise BrokenChain(f"the last {2 * LINE_BYTES} bytes are not lines of the log")


def head_of(path: Path) -> Path:
    return path.with_name(path.name + ".head")


def format_head(link: ChainLink) -> bytes:
    return b"%012d %s\n" % (link.number, link.sha256.encode())


def parse_head(content: bytes, path: Path) -> ChainLink:
    """Parses the head's content. Raises BrokenChain."""
    if not (match := _HEAD.fullmatch(content)):
        raise BrokenChain(
            f"{head_of(path).name} is not the number and digest of a line, so missing lines cannot be detected"
        )
    return ChainLink(int(match[1]), match[2].decode())


def rotated_name(path: Path, number: int) -> Path:
    """Returns the name of a closed file whose last line has this number."""
    return path.with_name(f"{path.name}.{number:012d}")


def rotated_files(path: Path) -> list[Path]:
    """Returns the closed files, oldest first."""
    return sorted(path.parent.glob(f"{escape(path.name)}.{'[0-9]' * 12}"))
