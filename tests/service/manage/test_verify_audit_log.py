"""Tests of the command `audit verify`: intact and changed logs."""

from pathlib import Path

import pytest

from service.manage.__main__ import main
from tests.service.security.written_log import write_log


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
