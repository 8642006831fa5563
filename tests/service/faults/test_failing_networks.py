"""Networks that fail: an error for the image alone, and the service goes on."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Client
from tests.service.exposition import metric, wait_for_line
from tests.service.fragile_network import fragile
from tests.service.gated_sessions import Gate
from tests.service.image_files import form, grey

pytestmark = pytest.mark.anyio


def top(answer: dict[str, Any]) -> str:
    """The label of a result's first class, or the code of its failure."""
    return answer.get("code") or answer["classes"][0]["label"]


async def test_a_network_that_fails_answers_500_is_counted_and_goes_on(serving: Client, tmp_path: Path) -> None:
    fragile(tmp_path)
    async with serving(models=tmp_path) as http:
        answers = [await http.post("/predict", files=form(grey(value))) for value in (200, 255, 255, 30)]
        metrics = (await http.get("/metrics")).text
    assert [answer.status_code for answer in answers] == [200, 500, 500, 200]
    assert [top(answer.json()) for answer in answers] == ["bright", "internal", "internal", "dark"]
    assert metric(metrics, "striate_failed_runs_total", model="fragile") == 2
    assert metric(metrics, "striate_errors_total", code="internal") == 2
    assert metric(metrics, "striate_requests_total", status="500") == 2
    assert metric(metrics, "striate_queue_depth") == 0


async def test_of_a_batch_that_fails_all_but_the_bad_one_are_answered(
    serving: Client, tmp_path: Path, gate: Gate
) -> None:
    fragile(tmp_path)
    async with serving(models=tmp_path, open_session=gate.batching_session) as http:
        gate.shut()
        gate.runs.clear()
        asking = asyncio.create_task(http.post("/predict", files=form(*map(grey, (10, 200, 30, 255, 250)))))
        await wait_for_line(http, 'striate_queue_depth{model="fragile"} 5.0')
        gate.open()
        answer = await asking
        metrics = (await http.get("/metrics")).text
    assert (answer.status_code, gate.runs) == (200, [1, 4, 1, 1, 1, 1])
    assert [top(result) for result in answer.json()["results"]] == ["dark", "bright", "dark", "internal", "bright"]
    assert metric(metrics, "striate_failed_runs_total", model="fragile") == 1
    assert metric(metrics, "striate_errors_total", code="internal") == 1
