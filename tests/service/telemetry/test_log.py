"""Tests of the log: JSON lines on standard error, levels, and a stream that cannot be written."""

import io
import json
import sys

import pytest

from service.telemetry.log import Log, LogLevel


def test_a_line_is_an_object_with_the_event_and_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    Log().write("info", "API keys reloaded", count=3, reason=None)
    line = json.loads(capsys.readouterr().err)
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "info", "event": "API keys reloaded", "count": 3, "reason": None}


@pytest.mark.parametrize(("level", "lines"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_events_below_the_level_are_not_written(
    level: LogLevel, lines: int, capsys: pytest.CaptureFixture[str]
) -> None:
    log = Log()
    log.configure(level)
    for each in ("debug", "info", "warning", "error"):
        log.write(each, "event")
    assert len(capsys.readouterr().err.splitlines()) == lines


class FullStream(io.StringIO):
    def write(self, _: str) -> int:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("closed", [True, False])
def test_a_line_that_cannot_be_written_is_dropped(closed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = FullStream()
    if closed:
        stderr.close()
    monkeypatch.setattr(sys, "stderr", stderr)
    Log().write("error", "event")
