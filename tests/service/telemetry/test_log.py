"""The log: JSON lines on standard error, and no request fails because they cannot be written."""

import io
import json
import sys

import pytest

from service.telemetry.log import Level, Log


def test_a_line_is_an_object_of_the_fields_given(capsys: pytest.CaptureFixture[str]) -> None:
    Log().write("info", "keys", count=3, reason=None)
    line = json.loads(capsys.readouterr().err)
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "info", "event": "keys", "count": 3, "reason": None}


@pytest.mark.parametrize(("level", "lines"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_what_is_less_severe_is_not_written(level: Level, lines: int, capsys: pytest.CaptureFixture[str]) -> None:
    log = Log()
    log.configure(level)
    for each in ("debug", "info", "warning", "error"):
        log.write(each, "event")
    assert len(capsys.readouterr().err.splitlines()) == lines


class Full(io.StringIO):
    def write(self, _: str) -> int:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("closed", [True, False])
def test_a_line_that_cannot_be_written_is_left_out(closed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = Full()
    if closed:
        stderr.close()
    monkeypatch.setattr(sys, "stderr", stderr)
    Log().write("error", "event")
