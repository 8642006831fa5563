"""Tests of the audit log's verification: tampering, truncation, anchors and recorded losses."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from service.security import audit_chain, audit_verification
from service.security.audit_chain import BrokenChain
from service.security.audit_log import AuditLog
from service.security.audit_verification import LinesLost, verify
from tests.service.security.written_log import BIG, lines_of, write_log

CHANGES = {
    "a line removed at the beginning": lambda lines: lines[1:],
    "a line removed in the middle": lambda lines: lines[:3] + lines[4:],
    "a line removed at the end": lambda lines: lines[:-1],
    "all lines removed": lambda _: [],
    "two lines swapped": lambda lines: [lines[1], lines[0], *lines[2:]],
    "a line twice": lambda lines: [lines[0], *lines],
    "a line changed at the beginning": lambda lines: [lines[0].replace(b"200", b"201"), *lines[1:]],
    "a line changed in the middle": lambda lines: [*lines[:3], lines[3].replace(b"203", b"200"), *lines[4:]],
    "a line changed at the end": lambda lines: [*lines[:-1], lines[-1].replace(b"207", b"200")],
    "a truncated line": lambda lines: [*lines[:-1], lines[-1][:-9]],
    "a line added at the end": lambda lines: [*lines, lines[-1]],
    "a line that is not JSON": lambda lines: [*lines[:2], b"{", *lines[3:]],
    "a line that is not an object": lambda lines: [*lines[:2], b"3", *lines[3:]],
}


@pytest.mark.parametrize("file_bytes", [BIG, 300])
@pytest.mark.parametrize("case", CHANGES)
def test_any_change_is_detected(tmp_path: Path, case: str, file_bytes: int) -> None:
    path = tmp_path / "audit.jsonl"
    write_log(path, 8, file_bytes=file_bytes)
    assert verify(path).number == 8
    files = [*sorted(tmp_path.glob("audit.jsonl.0*")), path]
    assert len(files) == (1 if file_bytes == BIG else 4)
    changed = CHANGES[case](lines_of(path))
    for file in files[:-1]:
        file.unlink()
    path.write_bytes(b"".join(line + b"\n" for line in changed))
    with pytest.raises(BrokenChain):
        verify(path)


def test_a_missing_file_is_detected(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    write_log(path, 8, file_bytes=300)
    first, second, *_ = sorted(tmp_path.glob("audit.jsonl.0*"))
    content = second.read_bytes()
    second.unlink()
    with pytest.raises(BrokenChain, match="expected line 3, found line 5"):
        verify(path)
    second.write_bytes(content)
    first.unlink()
    with pytest.raises(BrokenChain, match="expected line 1, found line 3"):
        verify(path)
    assert verify(path, first=3).number == 8  # the operator moved it to an archive
    path.with_name("audit.jsonl.head").unlink()
    with pytest.raises(BrokenChain, match="head"):
        verify(path, first=3)


def test_an_anchor_detects_a_rewritten_log(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    write_log(path, 4)
    anchor = verify(path)
    write_log(path, 4)
    assert verify(path, anchor=anchor).number == 8
    for file in tmp_path.iterdir():
        file.unlink()
    log = AuditLog(path, file_bytes=BIG)
    for _ in range(8):
        log.append({"status": 200})
    assert verify(path).number == 8  # consistent in itself
    with pytest.raises(BrokenChain, match=f"without 4:{anchor.sha256}"):
        verify(path, anchor=anchor)


def test_lines_that_the_log_records_as_lost_are_reported_until_they_are_known(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    write_log(path, 10).close()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:7]))
    log = AuditLog(path, file_bytes=BIG, gap="record")
    log.append({})
    with pytest.raises(LinesLost, match=r"^lines 8-10 are lost, .* unproven"):
        verify(path)
    assert verify(path, known_lost=[(8, 10)]).number == 12
    with pytest.raises(LinesLost, match="8-10"):
        verify(path, known_lost=[(8, 9), (1, 12)])
    path.write_bytes(path.read_bytes().replace(b'"lost":[8,10]', b'"lost":[7,10]'))
    with pytest.raises(BrokenChain, match="expected line 8, found line 11"):
        verify(path, known_lost=[(8, 10), (7, 10)])


def test_a_loss_before_the_first_line_that_remains_is_not_reported(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    write_log(path, 4, file_bytes=300).close()
    path.unlink()  # lines 3 and 4
    log = AuditLog(path, file_bytes=300, gap="record")
    log.append({})
    with pytest.raises(LinesLost, match="3-4"):
        verify(path)
    (tmp_path / "audit.jsonl.000000000002").unlink()  # lines 1 and 2, which the operator archived
    assert verify(path, first=3, known_lost=[(3, 4)]).number == verify(path, first=5).number == 6
    with pytest.raises(BrokenChain, match="expected line 4, found line 5"):
        verify(path, first=4)


def test_a_log_that_is_being_written_is_read_as_it_was_at_one_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "audit.jsonl"
    log = write_log(path, 5, file_bytes=300)  # line 7 begins a new file
    writer = threading.Thread(target=lambda: [log.append({}) for _ in range(3)])

    def rotated_files(path: Path) -> list[Path]:
        writer.start()
        writer.join(timeout=0.3)  # it waits for the lock
        return audit_chain.rotated_files(path)

    monkeypatch.setattr(audit_verification, "rotated_files", rotated_files)
    assert verify(path).number == 5
    writer.join()
    monkeypatch.undo()
    assert verify(path).number == 8


@pytest.mark.parametrize("name", ["audit.jsonl", "audit.jsonl.head", "audit.jsonl.000000000002"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_a_pipe_or_folder_in_place_of_a_file_is_reported(
    tmp_path: Path, name: str, make: Callable[[Path], None]
) -> None:
    path = tmp_path / "audit.jsonl"
    write_log(path, 4, file_bytes=300)
    (tmp_path / name).unlink()
    make(tmp_path / name)
    with pytest.raises(BrokenChain, match=rf"{name} is not a regular file"):
        verify(path)


LAST_LINES = {
    "a number that is text": b'{"n":"4","former":"%s"}',
    "a number that is true": b'{"n":true,"former":"%s"}',
    "a number with a fraction": b'{"n":4.0,"former":"%s"}',
    "a number without end": b'{"n":' + b"9" * 400 + b',"former":"%s"}',
    "nested": b"[" * 100_000 + b"%s",
    "lost lines that are none": b'{"n":4,"former":"%s","lost":[4,4]}',
    "lost lines in text": b'{"n":4,"former":"%s","lost":"some"}',
    "no UTF-8": b'{"n":4,"former":"%s\xff"}',
    "a line without end": b'{"n":4,"former":"%s","key":"' + b"k" * 2**21 + b'"}',
}


@pytest.mark.parametrize("case", LAST_LINES)
def test_a_line_of_another_form_is_reported(tmp_path: Path, case: str) -> None:
    path = tmp_path / "audit.jsonl"
    write_log(path, 3)
    with path.open("ab") as file:
        file.write(LAST_LINES[case].replace(b"%s", verify(path).sha256.encode()) + b"\n")
    with pytest.raises(BrokenChain):
        verify(path)
