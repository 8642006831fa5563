"""Tests of the hash chain's parts: a line, the end of a file, the head and the rotated files."""

import os
from hashlib import sha256
from pathlib import Path

import pytest

from service.security.audit_chain import (
    GENESIS,
    LINE_BYTES,
    BrokenChain,
    ChainLink,
    Line,
    Tail,
    format_head,
    links,
    parse_head,
    parse_line,
    rotated_files,
    rotated_name,
    tail,
)


def test_a_line_has_a_number_a_digest_and_perhaps_lost_lines() -> None:
    assert parse_line(b'{"n":1,"former":"a","status":200}', place="it") == Line(1, "a", None)
    assert parse_line(b'{"n":9,"lost":[2,8],"former":"a"}', place="it") == Line(9, "a", (2, 8))


NO_LINES = [
    b"", b"3", b"null", b'"n"', b"[]", b"{}", b'{"n":1}', b'{"n":"1","former":"a"}', b'{"n":true,"former":"a"}',
    b'{"n":1.0,"former":"a"}', b'{"n":0,"former":"a"}', b'{"n":-1,"former":"a"}', b'{"n":1000000000000,"former":"a"}',
    b'{"n":1e400,"former":"a"}', b"[" * 10**6, b'{"n":1,"former":"a","lost":[]}', b'{"n":1,"former":"a","lost":{}}',
    b'{"n":1,"former":"a","lost":[null,1]}', b"\xff\xfe", b'{"n":1,"former":"a"}{"n":2,"former":"a"}',
]  # fmt: skip


@pytest.mark.parametrize("content", NO_LINES, ids=lambda content: content[:40])
def test_anything_else_is_no_line(content: bytes) -> None:
    with pytest.raises(BrokenChain, match=r"^file: line 1 "):
        parse_line(content, place="file: line 1")


def test_a_link_is_a_number_and_the_digest_of_a_line() -> None:
    one = b'{"n":1,"former":"%s"}' % GENESIS.sha256.encode()
    first = ChainLink(1, sha256(one).hexdigest())
    three = b'{"n":4,"lost":[2,3],"former":"%s"}' % first.sha256.encode()
    assert [link for _, link in links([one, three], GENESIS, file="f")] == [
        first,
        ChainLink(4, sha256(three).hexdigest()),
    ]
    assert [line.number for line, _ in links([three], None, file="f")] == [4]  # what was before it is unknown
    with pytest.raises(BrokenChain, match="f: expected line 1, found line 4"):
        list(links([three], GENESIS, file="f"))


TAILS: dict[str, tuple[bytes, Tail]] = {
    "nothing": (b"", Tail(None, 0, b"")),
    "one line": (b"one\n", Tail(b"one", 0, b"")),
    "two lines": (b"one\ntwo\n", Tail(b"two", 4, b"")),
    "a part of a line": (b"one\ntw", Tail(b"one", 0, b"tw")),
    "only a part": (b"on", Tail(None, 0, b"on")),
    "an empty line": (b"one\n\n", Tail(b"", 4, b"")),
    "a long line": (b"one\n" + b"2" * 9000 + b"\n", Tail(b"2" * 9000, 4, b"")),
    "the longest line": (b"one\n" + b"2" * LINE_BYTES + b"\n", Tail(b"2" * LINE_BYTES, 4, b"")),
    "a long part": (b"one\n" + b"2" * 9000, Tail(b"one", 0, b"2" * 9000)),
}


@pytest.mark.parametrize("case", TAILS)
def test_the_end_of_a_file(tmp_path: Path, case: str) -> None:
    content, expected = TAILS[case]
    (tmp_path / "file").write_bytes(content)
    with (tmp_path / "file").open("rb") as file:
        assert tail(file.fileno(), len(content)) == expected


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_file_without_line_breaks_is_not_read_to_its_beginning(tmp_path: Path, end: bytes) -> None:
    with (tmp_path / "file").open("w+b") as file:
        file.truncate(2**40)  # a terabyte, of which the disk has nothing
        file.seek(0, os.SEEK_END)
        file.write(end)
        file.flush()
        with pytest.raises(BrokenChain, match="are not lines"):
            tail(file.fileno(), 2**40 + len(end))


def test_the_head_is_a_line_of_fixed_length(tmp_path: Path) -> None:
    link = ChainLink(7, "a" * 64)
    assert parse_head(format_head(link), tmp_path / "audit") == link
    for content in (b"", format_head(link)[:-1], format_head(link) + b"\n", format_head(link).upper(), b"\0" * 78):
        with pytest.raises(BrokenChain, match=r"^audit.head is not the number and digest"):
            parse_head(content, tmp_path / "audit")


def test_rotated_files_are_those_with_a_number(tmp_path: Path) -> None:
    path = tmp_path / "audit[1].jsonl"
    files = [rotated_name(path, number) for number in (2, 10, 100)]
    for file in (*reversed(files), path, path.with_name(path.name + ".head"), path.with_name(path.name + ".1")):
        file.touch()
    assert rotated_files(path) == files
