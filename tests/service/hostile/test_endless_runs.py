"""Tests of a network that is endless for some pixels: its runs end with their requests, and others are served."""

import asyncio
import time
from pathlib import Path

import pytest

from tests.conftest import Client
from tests.service.exposition import metric
from tests.service.image_files import form, grey
from tests.service.repository.hostile_packages import ENDLESS_FOR_BRIGHT, write_hostile
from tests.service.repository.versions import ask, until, write_version

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
TIMEOUT_S, LATEST_S = 3, 5  # the deadline, and when its runs must have ended
LARGE = {"height": 100, "width": 100}  # decoded in a worker, where it runs too


async def test_runs_end_with_their_requests(serving: Client, tmp_path: Path) -> None:
    models = tmp_path / "models"
    write_version(models, "1.0")
    write_hostile(models, "trapped", "1.0", ENDLESS_FOR_BRIGHT)
    async with serving(models=models, timeout_s=TIMEOUT_S, session_threads=2) as http:

        async def is_there() -> bool:
            return (await http.get("/models/trapped")).json()["status"] == "ready"

        await until(is_there)
        started = time.monotonic()
        images = [grey(255), *(grey(255, **LARGE) for _ in range(6))]
        trapped = [http.post("/predict", files=form(image), data={"model": "trapped"}) for image in images]
        answers = await asyncio.gather(*trapped)
        assert {answer.json()["code"] for answer in answers} == {"deadline_passed"}

        async def is_free() -> bool:
            metrics = (await http.get("/metrics")).text
            return [metric(metrics, f"striate_{name}") for name in ("queue_depth", "in_flight_requests")] == [0, 1]

        await until(is_free)
        assert time.monotonic() - started < LATEST_S
        for name in ("brightness", "trapped"):
            assert (await ask(http, 100, name=name))[1] == "dark"
