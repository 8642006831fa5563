"""Tests of the pipeline: what it takes, what it answers, reports and counts."""

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from models.errors import NotAnImage
from models.source import ArraySource
from service.errors import UnknownLabel
from service.pipeline.pipeline import Pipeline, Sent
from service.repository.state import ServedModel
from service.scheduling.memory_budget import SMALL_BYTES, MemoryBudget
from service.scheduling.work import Deadline, Reservation, Work
from service.settings import Settings
from service.tasks import TASKS
from service.telemetry.metrics import Metrics
from tests import tiny
from tests.service.image_files import grey
from tests.service.repository.loaded_repository import open_repository

pytestmark = pytest.mark.anyio
PREDICT, CAM = TASKS["predict"], TASKS["cam"]
EXPECTED = list(tiny.brightness_of(0.8).values())


@pytest.fixture
async def model(root: Path) -> AsyncIterator[ServedModel]:
    async with open_repository(root) as repository:
        yield repository.served["brightness"]


@pytest.fixture
async def pipeline() -> AsyncIterator[Pipeline]:
    pipeline = Pipeline(Settings(), Metrics())
    yield pipeline
    pipeline.close()


def work() -> Work:
    return Work(Deadline.after(60))


@pytest.mark.parametrize(
    "sent",
    [grey(204), ArraySource(np.full((8, 8), 204, np.uint8), "YX"), np.full((1, 8, 8), 0.8, np.float32)],
    ids=["a file", "an open image", "a prepared tensor"],
)
async def test_an_image_comes_as_a_file_open_or_prepared(pipeline: Pipeline, model: ServedModel, sent: Sent) -> None:
    result = await pipeline.infer(sent, model, (), work())
    assert list(result.value) == ["probabilities"]  # whatever outputs are named
    assert result.value["probabilities"] == pytest.approx(EXPECTED, abs=1e-6)
    with_map = await pipeline.infer(sent, model, ("cam",), work())
    assert with_map.value["cam"].shape == (3, 4, 4)  # without the batch axis


async def test_an_answer_has_its_findings_and_the_facts_of_every_answer(pipeline: Pipeline, model: ServedModel) -> None:
    result = await pipeline.answer(PREDICT, grey(204), model, PREDICT.options(), work())
    assert result.model is model
    assert (result.input.width, result.input.height, result.input.format) == (8, 8, "png")
    assert [warning.code for warning in result.warnings] == ["constant_image"]
    assert [each.label for each in result.findings.classes] == ["bright", "neither", "dark"]
    assert result.timings.infer > 0


async def test_each_prediction_is_passed_on(pipeline: Pipeline, model: ServedModel) -> None:
    seen = []
    pipeline.on_prediction = lambda sent, by, probabilities: seen.append((sent, by, probabilities.tolist()))
    await pipeline.answer(CAM, grey(204), model, CAM.options(), work())
    await pipeline.infer(grey(0), model, (), work())
    assert [(sent, by) for sent, by, _ in seen] == [(grey(204), model), (grey(0), model)]
    assert seen[0][2] == pytest.approx(EXPECTED, abs=1e-6)


async def test_what_is_refused_is_no_answer_and_gives_its_memory_back(pipeline: Pipeline, model: ServedModel) -> None:
    counts, budget = model.statistics.parts, MemoryBudget(10 * SMALL_BYTES)
    refusals = [(b"no image", PREDICT.options(), NotAnImage), (grey(204), CAM.options(label="cat"), UnknownLabel)]
    for (sent, options, error), task in zip(refusals, (PREDICT, CAM)):
        with Reservation(budget) as body:
            body.reserve_body(2 * SMALL_BYTES)
            asked = Work(Deadline.after(60), reservation=Reservation(budget, outer=body))
        with pytest.raises(error):
            await pipeline.answer(task, sent, model, options, asked)
        assert budget.reserved_bytes == 0
    assert counts["compute_output"].count == 0
    await pipeline.answer(PREDICT, grey(204), model, PREDICT.options(), work())
    assert (counts["compute_infer"].count, counts["compute_output"].count) == (1, 1)
