"""Tests of lines that are missing at the audit log's end: refused or recorded, by one process and by two."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from service.security.audit_chain import BrokenChain
from service.security.audit_log import AuditLog
from service.security.audit_verification import LinesLost, verify
from service.settings import AuditGap
from tests.service.security.written_log import BIG, lines_of, write_log

Change = Callable[[Path], object]


def head_of(path: Path) -> Path:
    return path.with_name(path.name + ".head")


def keep(count: int) -> Change:
    """Cuts the file behind so many lines."""
    return lambda path: path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:count]))


def replace(path: Path) -> None:
    copy = path.with_name("copy")
    copy.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:7]))
    copy.rename(path)


def cut_within_line_8(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:7]) + lines[7][:90])


def cut_a_line_feed(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


GAPS: dict[str, tuple[Change, list[int]]] = {  # what happens to ten lines -> the lines that are lost
    "the last line": (keep(9), [10, 10]),
    "three lines": (keep(7), [8, 10]),
    "within a line": (cut_within_line_8, [8, 10]),
    "a line feed": (cut_a_line_feed, [10, 10]),
    "all lines": (keep(0), [1, 10]),
    "the file": (Path.unlink, [1, 10]),
    "a shorter copy": (replace, [8, 10]),
}


@pytest.mark.parametrize("writers", ["one that runs", "one that restarts", "two that run", "two, one restarts"])
@pytest.mark.parametrize("case", GAPS)
def test_missing_lines_are_refused_or_recorded(tmp_path: Path, case: str, writers: str) -> None:
    path = tmp_path / "audit.jsonl"
    change, lost = GAPS[case]
    logs = [AuditLog(path, file_bytes=BIG) for _ in range(1 + writers.startswith("two"))]
    for number in range(10):
        logs[number % len(logs)].append({"status": number})
    change(path)
    if "restart" in writers:
        logs[0].close()
        logs[0] = AuditLog(path, file_bytes=BIG)
        assert f"lines {lost[0]} to 10 are missing" in logs[0].failure
    left = path.read_bytes() if path.exists() else b""
    for log in logs * 3:
        with pytest.raises(BrokenChain, match=rf"^lines {lost[0]} to 10 are missing .* audit.jsonl.000000000010$"):
            log.append({})
    assert path.read_bytes() == left  # the evidence
    with pytest.raises(BrokenChain):
        verify(path)
    recording = [AuditLog(path, file_bytes=BIG, gap="record") for _ in logs]
    for number in range(6):
        recording[number % len(logs)].append({"status": number})
    recorded = next(json.loads(line) for line in lines_of(path) if b'"lost"' in line)
    assert (recorded["n"], recorded["lost"]) == (11, lost)
    numbers = [json.loads(line)["n"] for line in lines_of(path)]
    assert numbers == [*range(1, lost[0]), *range(11, 18)]
    with pytest.raises(LinesLost):
        verify(path)
    assert verify(path, known_lost=[(lost[0], lost[1])]).number == 17


@pytest.mark.parametrize("gap", ["refuse", "record"])
def test_no_line_is_written_after_a_last_line_that_was_changed(tmp_path: Path, gap: AuditGap) -> None:
    path = tmp_path / "audit.jsonl"
    write_log(path, 4).close()
    path.write_bytes(path.read_bytes().replace(b":203", b":200"))
    log = AuditLog(path, file_bytes=BIG, gap=gap)
    assert log.failure == "line 4, the last of audit.jsonl, was changed"
    with pytest.raises(BrokenChain):
        log.append({})


def test_rotated_lines_are_missing_too(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = write_log(path, 10, file_bytes=300)  # two lines in each file
    path.unlink()
    (tmp_path / "audit.jsonl.000000000008").unlink()
    with pytest.raises(BrokenChain, match="lines 7 to 10 are missing"):
        log.append({})


def test_an_operator_who_renames_the_file_continues_after_the_last_number(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    logs = [write_log(path, 5), write_log(path, 5)]
    keep(7)(path)
    for log in logs:
        with pytest.raises(BrokenChain, match=r"audit\.jsonl\.000000000010"):
            log.append({})
    path.rename(tmp_path / "audit.jsonl.000000000010")
    for log in (*logs, *logs):
        log.append({})
    assert [json.loads(line)["n"] for line in path.read_bytes().splitlines()] == [11, 12, 13, 14]
    with pytest.raises(BrokenChain, match="expected line 8, found line 11"):
        verify(path)
    (tmp_path / "audit.jsonl.000000000010").unlink()
    assert verify(path, first=11).number == 14


def test_a_process_remembers_what_the_head_no_longer_says(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    one, two = write_log(path, 6), AuditLog(path, file_bytes=BIG)
    files = [path.read_bytes(), head_of(path).read_bytes()]
    two.append({})  # line 7
    one.append({})
    path.write_bytes(files[0])
    head_of(path).write_bytes(files[1])
    for log, missing in ((one, "lines 7 to 8"), (two, "line.? 7")):
        with pytest.raises(BrokenChain, match=missing):
            log.append({})
    restarted = AuditLog(path, file_bytes=BIG)  # it cannot know: the log is as it was after line 6
    for _ in range(4):
        restarted.append({"after": "the restart"})  # within a millisecond, equal lines would be the same lines
    for log, number in ((one, 8), (two, 7)):
        with pytest.raises(BrokenChain, match=f"line {number}, which was written to audit.jsonl, is no longer there"):
            log.append({})
    path.rename(tmp_path / "audit.jsonl.000000000010")
    for log in (one, two, restarted):
        log.append({})
    assert [json.loads(line)["n"] for line in path.read_bytes().splitlines()] == [11, 12, 13]


HEADS: dict[str, Change] = {
    "removed": lambda path: head_of(path).unlink(),
    "empty": lambda path: head_of(path).write_bytes(b""),
    "of bytes": lambda path: head_of(path).write_bytes(bytes(range(256)) * 5000),
    "of another digest": lambda path: head_of(path).write_bytes(b"%012d %s\n" % (10, b"a" * 64)),
    "of a line feed more": lambda path: head_of(path).write_bytes(head_of(path).read_bytes() + b"\n"),
    "a folder": lambda path: (head_of(path).unlink(), head_of(path).mkdir()),
}


@pytest.mark.parametrize("gap", ["refuse", "record"])
@pytest.mark.parametrize("case", HEADS)
def test_no_line_is_written_after_a_head_that_cannot_be_trusted(tmp_path: Path, case: str, gap: AuditGap) -> None:
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path, file_bytes=BIG, gap=gap)
    for _ in range(10):
        log.append({})
    head, lines = head_of(path).read_bytes(), path.read_bytes()
    HEADS[case](path)
    keep(9)(path)  # which nothing else would reveal
    for _ in range(2):
        with pytest.raises((BrokenChain, IsADirectoryError)):
            log.append({})
    with pytest.raises(BrokenChain):
        verify(path)
    if case != "a folder" and gap == "refuse":
        assert AuditLog(path, file_bytes=BIG).failure  # a restart changes nothing
    assert head_of(path).exists() is (case != "removed")
    if head_of(path).is_dir():
        head_of(path).rmdir()
    head_of(path).write_bytes(head)
    path.write_bytes(lines)
    log.check()
    assert (log.failure, verify(path).number) == ("", 11)
