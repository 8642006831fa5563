"""Tests of the command `audit verify`: intact and changed logs."""

from pathlib import Path

import pytest

from service.manage.__main__ import main
from service.security.audit_log import AuditLog
from tests.service.security.written_log import BIG, write_log


def test_the_command_line_reports_the_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "audit.jsonl"
    write_log(path, 2)
    assert main(["audit", "verify", str(path)]) == 0
    anchor = capsys.readouterr().out.split()[-1]
    assert main(["audit", "verify", str(path), "--anchor", anchor]) == 0
    path.write_bytes(path.read_bytes().replace(b":201,", b":200,"))
    assert main(["audit", "verify", str(path)]) == 1
    assert "lines at the end were removed or changed" in capsys.readouterr().err
    assert main(["audit", "verify", str(tmp_path / "nowhere")]) == 1


def test_lines_that_are_recorded_as_lost_fail_until_they_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "audit.jsonl"
    write_log(path, 3).close()
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    AuditLog(path, file_bytes=BIG, gap="record").append({})
    assert main(["audit", "verify", str(path)]) == 1
    assert "striate: lines 2-3 are lost, as the log itself records" in capsys.readouterr().err
    assert main(["audit", "verify", str(path), "--lost", "2-3"]) == 0
    assert "5:" in capsys.readouterr().out
