"""Tests of the access log: the fields of a line and the outcome."""

import json

import pytest

from service.http.middleware.access_log import outcome
from tests.conftest import Client
from tests.service.image_files import form, grey

pytestmark = pytest.mark.anyio


def requests(err: str) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in err.splitlines()]
    return [line for line in lines if line["event"] == "request"]


async def test_a_request_is_logged_in_one_line_of_fixed_fields(
    serving: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serving() as http:
        await http.post("/predict", files=form(grey(204), name="Mustermann.png"), headers={"X-Request-ID": "mine"})
        await http.post("/cam", files=form(b"no image"), headers={"X-Request-ID": "wrong"})
        await http.get("/readyz")
    err = capsys.readouterr().err
    good, bad = requests(err)
    duration, time = good.pop("duration_ms"), good.pop("time")
    assert isinstance(duration, float)
    assert duration > 0
    assert str(time).endswith("+00:00")
    assert good == {
        "level": "info", "event": "request", "request_id": "mine", "route": "/predict", "model": "brightness",
        "version": "1.0", "status": 200, "outcome": "answered", "code": None,
    }  # fmt: skip
    assert (bad["request_id"], bad["outcome"], bad["code"]) == ("wrong", "invalid", "not_an_image")
    assert "Mustermann" not in err


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, "answered"),
        (404, "invalid"),
        (415, "invalid"),
        (429, "rejected"),
        (503, "rejected"),
        (499, "client_closed"),
        (500, "failed"),
        (504, "failed"),
    ],
)
def test_each_status_has_an_outcome(status: int, expected: str) -> None:
    assert outcome(status) == expected
