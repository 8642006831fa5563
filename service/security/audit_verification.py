"""Verification of the audit log: every line of every file, up to the line that the head names."""

import fcntl
import os
from collections.abc import Collection
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from service.security.audit_chain import (
    GENESIS,
    HEAD_BYTES,
    BrokenChain,
    ChainLink,
    LineRange,
    head_of,
    lines,
    links,
    parse_head,
    rotated_files,
)
from service.security.path_file import NotRegular, open_regular


class LinesLost(BrokenChain):
    """The chain is intact but for lines whose loss the log itself records."""

    def __init__(self, lost: Collection[LineRange]) -> None:
        ranges = ", ".join(f"{first}-{last}" for first, last in sorted(lost))
        super().__init__(
            f"lines {ranges} are lost, as the log itself records, and the line before each range is unproven; "
            "the other lines are intact. If the loss is explained, name it with --lost"
        )


def verify(
    path: Path, *, first: int = 1, anchor: ChainLink | None = None, known_lost: Collection[LineRange] = ()
) -> ChainLink:
    """Returns the last line of a log that is intact from line `first` on. Raises BrokenChain, OSError.

    anchor: an earlier line that was stored elsewhere and must still be in the log. It detects a log that was rewritten
    from beginning to end, head included: digests without a secret bind lines to each other, not to their writer.
    known_lost: ranges of lines, both ends included, whose recorded loss is known; any other raises LinesLost.
    """
    with ExitStack() as opened:
        files = _snapshot(path, opened)
        chain = _Chain(first, required={files.head, anchor} - {None, GENESIS})
        for closed in files.closed:
            with _open(closed) as file:
                chain.read(file, os.fstat(file.fileno()).st_size, name=closed.name)
        if files.current:
            chain.read(*files.current, name=path.name)
    chain.check_complete()
    if unknown := chain.lost.difference(known_lost):
        raise LinesLost(unknown)
    return chain.last


class _Chain:
    """The lines that were read so far, from the oldest file on."""

    def __init__(self, first: int, *, required: set[ChainLink | None]) -> None:
        self.last, self.lost = GENESIS, set[LineRange]()
        self._first, self._required = first, required

    def read(self, file: BinaryIO, size: int, *, name: str) -> None:
        """Checks the lines of the next file. Raises BrokenChain."""
        known = None if self.last == GENESIS and self._first > 1 else self.last  # older files were moved away
        for line, link in links(lines(file, size, name=name), known, file=name):
            if self.last == GENESIS and self._first not in (line.number, *(line.lost or ())[:1]):
                raise BrokenChain(f"{name}: expected line {self._first}, found line {line.number}: lines were removed")
            if line.lost and line.lost[1] >= self._first:
                self.lost.add(line.lost)
            self.last = link
            self._required.discard(link)

    def check_complete(self) -> None:
        if self._required:
            missing = ", ".join(f"{link.number}:{link.sha256}" for link in sorted(filter(None, self._required)))
            raise BrokenChain(
                f"the log ends at line {self.last.number} without {missing}: lines at the end were removed or changed"
            )


class _Files(NamedTuple):
    """A log's files at one moment, though a service may be writing. current: the open file and its size."""

    head: ChainLink
    closed: list[Path]
    current: tuple[BinaryIO, int] | None


def _snapshot(path: Path, opened: ExitStack) -> _Files:
    with ExitStack() as locked:
        try:
            head = locked.enter_context(_open(head_of(path)))
        except FileNotFoundError as error:
            raise BrokenChain(f"{head_of(path)} is missing, so missing lines at the end cannot be detected") from error
        fcntl.flock(head, fcntl.LOCK_SH)
        current = None
        with suppress(FileNotFoundError):  # it is absent between a rotation and the next line
            file = opened.enter_context(_open(path))
            current = file, os.fstat(file.fileno()).st_size
        return _Files(parse_head(head.read(HEAD_BYTES + 1), path), rotated_files(path), current)


def _open(path: Path) -> BinaryIO:
    try:
        return os.fdopen(open_regular(path, os.O_RDONLY), "rb")
    except NotRegular as error:
        raise BrokenChain(str(error)) from error
