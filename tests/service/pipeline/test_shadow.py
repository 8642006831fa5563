"""Tests of shadows: which decisions differ, and which images are left out."""

import asyncio
from pathlib import Path

import httpx
import numpy as np
import pytest

from models.image import Array
from service.pipeline.shadow import ShadowRunner, differ
from service.sandbox.decoders import InProcess
from service.scheduling.memory_budget import SMALL_BYTES, MemoryBudget
from service.settings import Settings
from tests.conftest import Client
from tests.package_parts import spec_of
from tests.service.gated_sessions import Gate
from tests.service.image_files import grey
from tests.service.repository.loaded_repository import open_repository
from tests.service.repository.versions import LABELS, ask, call, until, write_three_versions

pytestmark = pytest.mark.anyio


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return write_three_versions(tmp_path)


async def comparison(http: httpx.AsyncClient, number: str) -> dict[str, int]:
    known = (await http.get("/models/brightness")).json()["versions"]
    (found,) = [each["comparison"] for each in known if each["version"] == number]
    return found


async def test_a_shadow_is_compared_and_never_answers(serving: Client, models: Path) -> None:
    async with serving(models=models) as http:
        await call(http, "rollout", {"pinned": "1.0", "shadow": "3.0"})
        for n, value in enumerate([100, 200] * 10, start=1):
            assert await ask(http, value) == ("1.0", LABELS["1.0"][value])

            async def seen(n: int = n) -> bool:
                return (await comparison(http, "3.0"))["compared"] == n

            await until(seen)
        # 1.0 calls 100 dark and 3.0 bright; both call 200 bright.
        assert await comparison(http, "3.0") == {"compared": 20, "differed": 10, "failed": 0, "left_out": 0}
        text = (await http.get("/metrics")).text
    assert 'striate_predictions_total{label="dark",model="brightness"} 10.0' in text  # the shadow's do not count
    assert 'striate_shadow_compared_total{model="brightness",version="3.0"} 20.0' in text
    assert 'striate_shadow_differed_total{model="brightness",version="3.0"} 10.0' in text


def pixels(*values: float) -> Array:
    """(1, 1, W): the probability of one class in each pixel."""
    return np.array([[values]], np.float32)


A = spec_of(stride=1, input={"channels": 1, "steps": []})  # a segmenter of "a", with a sigmoid
B = spec_of(stride=1, input={"channels": 1, "steps": []}, classes=[{"label": "b"}])
CLASSES = [{"label": "a"}, {"label": "b"}]
CLASSIFIER = {
    "task": "classification",
    "activation": "softmax",
    "stride": 1,
    "input": {"channels": 1, "size": (8, 8), "steps": []},
}
AB = spec_of(**CLASSIFIER, classes=CLASSES)
BA = spec_of(**CLASSIFIER, classes=CLASSES[::-1])
DECISIONS = {
    "the same class": (np.array([0.6, 0.4]), AB, np.array([0.9, 0.1]), AB, False),
    "another class": (np.array([0.6, 0.4]), AB, np.array([0.4, 0.6]), AB, True),
    "the same class elsewhere in the list": (np.array([0.6, 0.4]), AB, np.array([0.4, 0.6]), BA, False),
    "one pixel of 100": (pixels(*[0.9] * 100), A, pixels(*[0.9] * 99, 0.1), A, False),
    "two pixels of 100": (pixels(*[0.9] * 100), A, pixels(*[0.9] * 98, 0.1, 0.1), A, True),
    "another label": (pixels(0.9), A, pixels(0.9), B, True),
    "other labels, neither at its threshold": (pixels(0.1), A, pixels(0.1), B, False),
    "maps of another size": (pixels(0.9), A, pixels(0.9, 0.9), A, True),
}  # fmt: skip


@pytest.mark.parametrize("case", DECISIONS)
def test_decisions_differ(case: str) -> None:
    one, spec, other, other_spec, expected = DECISIONS[case]
    assert differ(one, spec, other, other_spec) is expected


async def test_a_shadow_that_lags_leaves_images_out_and_one_that_fails_is_counted(models: Path) -> None:
    gate = Gate()
    async with open_repository(models, gate.session) as repository:
        model = repository.served["brightness"]
        counts = model.statistics.comparison
        runner = ShadowRunner(Settings(), lambda _: model, decoders=InProcess(), memory=MemoryBudget(2**30))
        gate.shut()
        for _ in range(10):
            runner.on_prediction(grey(100), model, np.array([0.0, 1.0, 0.0]))  # "bright", as this version says
        assert counts.left_out == 2  # of more than eight behind
        gate.open()
        async with asyncio.timeout(60):
            while counts.compared < 8:
                await asyncio.sleep(0.001)
            runner.on_prediction(grey(100, height=3), model, np.array([0.0, 1.0, 0.0]))  # smaller than it takes
            while not counts.failed:
                await asyncio.sleep(0.001)
            runner.on_prediction(grey(100), model, np.array([1.0, 0.0, 0.0]))  # after all that were not left out
            while not counts.differed:
                await asyncio.sleep(0.001)
        runner.close()
        runner = ShadowRunner(Settings(), lambda _: None, decoders=InProcess(), memory=MemoryBudget(2**30))
        runner.on_prediction(grey(100), model, np.array([0.0, 1.0, 0.0]))  # where there is none, nothing runs
        runner.close()
    assert (counts.compared, counts.differed, counts.failed, counts.left_out) == (9, 1, 1, 2)


async def test_what_a_shadow_holds_counts_until_it_has_been_compared(models: Path) -> None:
    gate, memory, probabilities = Gate(), MemoryBudget(4 * SMALL_BYTES), np.zeros(3 * SMALL_BYTES, np.uint8)
    async with open_repository(models, gate.session) as repository:
        model = repository.served["brightness"]
        counts = model.statistics.comparison
        runner = ShadowRunner(Settings(), lambda _: model, decoders=InProcess(), memory=memory)
        gate.shut()
        for _ in range(2):
            runner.on_prediction(grey(100), model, probabilities)
        assert (counts.left_out, memory.reserved_bytes) == (1, 3 * SMALL_BYTES + len(grey(100)))
        gate.open()
        async with asyncio.timeout(60):
            while memory.reserved_bytes or memory.small_bytes:
                await asyncio.sleep(0.001)
        runner.close()
    assert (counts.compared, counts.left_out) == (1, 1)
