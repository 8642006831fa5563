"""The last line of the audit log, compared with the last that was written."""

import os
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from service.security.audit_chain import (
    GENESIS,
    BrokenChain,
    ChainLink,
    format_head,
    lines,
    links,
    parse_line,
    rotated_files,
    rotated_name,
    tail,
)
from service.security.path_file import open_regular


class End(NamedTuple):
    """The last line, its first byte in the file, and the byte after it; both equal if an earlier file has the line."""

    link: ChainLink
    begin: int
    end: int


_OTHERS_BYTES = 65_536
ELSEWHERE = (-1, -1)  # the bytes of a line that is not in the file that is open


def lines_of_others(descriptor: int, size: int, *, head: bytes, known: End) -> End | None:
    """Returns the last line where other processes have written some after the known one, up to the head; else None."""
    if known.begin == known.end or not 0 < size - known.begin <= _OTHERS_BYTES:
        return None
    *content, after = os.pread(descriptor, size - known.begin, known.begin).split(b"\n")
    if after or len(content) < 2 or sha256(content[0]).hexdigest() != known.link.sha256:
        return None
    link = ChainLink(known.link.number + len(content) - 1, sha256(content[-1]).hexdigest())
    return End(link, size - len(content[-1]) - 1, size) if format_head(link) == head else None


def read_end(path: Path, descriptor: int, size: int, *, written: ChainLink) -> End:
    """Returns the last whole line of the log. Raises BrokenChain if the file, of this size, does not end in lines."""
    content, begin, partial = tail(descriptor, size)
    if content is None:
        last = End(_last_rotated(path, written), begin, begin)
    else:
        last = End(_link(content, path), begin, begin + len(content) + 1)
    next_line = b'{"n":%d,' % (last.link.number + 1)
    if partial[: len(next_line)] != next_line[: len(partial)]:  # a crash leaves the beginning of the next line
        raise BrokenChain(f"{path.name} ends in {partial[:40]!r}, which is no line of the log")
    return last


def check_continues(path: Path, descriptor: int, last: End, *, written: ChainLink, known: End) -> None:
    """Raises BrokenChain if the file, which ends in `last`, lacks lines that were written before it.

    written: the last one that is known of. known: the last one of which this process knows the place.
    """
    if last.link.number == written.number and last.link != written:
        raise BrokenChain(f"line {written.number}, the last of {path.name}, was changed")
    if last.begin == last.end:
        return
    if last.link.number > written.number:  # the head is behind, as after a crash: every line after it must follow
        _check_contains(written, list(_accounts(written, path, descriptor, last.end)), path)
    if known.link != GENESIS and not _is_in_place(known, descriptor):
        _check_contains(known.link, _accounts(known.link, path, descriptor, last.end), path)


def _is_in_place(line: End, descriptor: int) -> bool:
    if line.begin == line.end:
        return False
    return sha256(os.pread(descriptor, line.end - line.begin - 1, line.begin)).hexdigest() == line.link.sha256


def _check_contains(link: ChainLink, accounts: Iterable[bool], path: Path) -> None:
    if not any(accounts):
        raise BrokenChain(f"line {link.number}, which was written to {path.name}, is no longer there")


def _accounts(link: ChainLink, path: Path, descriptor: int, size: int) -> Iterator[bool]:
    """Yields for each line whether it is this one, or follows it, begins a later file, or records that it is lost.

    Raises BrokenChain where a line does not follow the line before it.
    """
    with open(descriptor, "rb", closefd=False) as file:
        file.seek(0)
        chain = links(lines(file, size, name=path.name), None, file=path.name)
        for count, (line, found) in enumerate(chain):
            begins_later_file = count == 0 and line.number > link.number + 1
            records_loss = line.lost is not None and line.lost[0] <= link.number <= line.lost[1]
            yield link == found or link.sha256 == line.former or begins_later_file or records_loss


def _last_rotated(path: Path, written: ChainLink) -> ChainLink:
    """Returns the last line of the files before this one, which has none."""
    files = rotated_files(path)
    if not files or files[-1] == rotated_name(path, written.number):
        return written if files else GENESIS
    descriptor = open_regular(files[-1], os.O_RDONLY)
    try:
        return _link(tail(descriptor, os.fstat(descriptor).st_size).line or b"", files[-1])
    finally:
        os.close(descriptor)


def _link(line: bytes, path: Path) -> ChainLink:
    number = parse_line(line, place=f"the last line of {path.name}").number
    return ChainLink(number, sha256(line).hexdigest())
