"""Networks that fail: an error for the image alone, and the service goes on."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from service.inference import open_session
from tests.conftest import Client
from tests.service.exposition import metric, wait_for_line
from tests.service.fragile_network import fragile
from tests.service.gated_sessions import Gate
from tests.service.image_files import form, grey
from tests.service.repository.hostile_packages import with_tail
from tests.service.repository.versions import write_version

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


TAILS = {
    "values beyond 1": helper.make_node("Mul", ["pair", "nine"], ["probabilities"]),
    "a class too few": helper.make_node("Slice", ["pair", "zero", "two", "one"], ["probabilities"]),
    "no image": helper.make_node("Slice", ["pair", "zero", "zero", "zero"], ["probabilities"]),
}
CONSTANTS = {"zero": np.array([0]), "one": np.array([1]), "two": np.array([2]), "nine": np.array(9, np.float32)}


@pytest.mark.parametrize("case", TAILS)
async def test_outputs_that_the_package_does_not_describe_are_no_answer(
    serving: Client, tmp_path: Path, case: str
) -> None:
    """They are those of a session of another network: a package's own were refused."""
    models, other = tmp_path / "models", write_version(tmp_path, "1.0").folder
    write_version(models, "1.0")
    with_tail([TAILS[case]], CONSTANTS)(other)
    async with serving(lambda _: open_session(other / "model.onnx", device="cpu"), models=models) as http:
        answer = await http.post("/predict", files=form(grey(200)))
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
