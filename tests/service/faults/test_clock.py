"""The wall clock jumps by a day, forward and back, under a real service: deadlines, rates and windows do not see it.

By libfaketime, where it is installed: it gives one process another wall clock and leaves the monotonic one alone.
"""

from pathlib import Path

import httpx
import pytest

from service.security.api_keys import new_key
from service.security.audit_verification import verify
from tests.service.exposition import metric
from tests.service.image_files import form, grey
from tests.serving import served

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not LIBRARIES, reason="libfaketime (Debian: faketime) is not here")]


def test_a_day_forward_and_back_changes_no_answer(root: Path, tmp_path: Path) -> None:
    clock, keys, audit = tmp_path / "clock", tmp_path / "keys.toml", tmp_path / "audit"
    clock.write_text("+0")
    key, lines = new_key("viewer", ["infer", "metrics"])
    slow, slow_lines = new_key("slow", ["infer"])
    keys.write_text(f"{lines}\n{slow_lines}rate_per_s = 0.001\nburst = 1\n")
    variables = {
        "STRIATE_MODELS": str(root), "STRIATE_KEYS": str(keys), "STRIATE_AUDIT": str(audit),
        "LD_PRELOAD": str(LIBRARIES[0]), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }  # fmt: skip
    with served(tmp_path / "log", **variables) as (http, _):

        def ask(with_key: str) -> httpx.Response:
            return http.post(
                "/predict", files=form(grey(204)), data={"model": "brightness"}, headers={"X-API-Key": with_key}
            )

        assert ask(slow).status_code == 200
        for jump in ("+1d", "-1d", "+0"):
            clock.write_text(jump)
            answered = [ask(key) for _ in range(5)]
            assert [each.status_code for each in answered] == 5 * [200]
            late = ask(slow)
            assert (late.status_code, late.json()["code"]) == (429, "rate_limited")
            assert 900 < int(late.headers["Retry-After"]) <= 1000
        metrics = http.get("/metrics", headers={"X-API-Key": key}).text
        assert metric(metrics, "striate_request_duration_seconds_sum", route="/predict") < 3600
        assert metric(metrics, "striate_event_loop_lag_seconds_sum") < 3600
    assert verify(audit).number == 16
    days = {line.split('"time":"')[1][:10] for line in audit.read_text().splitlines()}
    assert len(days) >= 3  # the jumps were real
