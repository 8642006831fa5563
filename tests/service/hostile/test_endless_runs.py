"""Work that goes on and on: it ends with its requests, and others are served.

A network is endless for some pixels, as no package's may be; objects of noise take minutes to separate.
"""

import asyncio
import time
from pathlib import Path

import numpy as np
import pytest

from models.package import Package
from service.encode.png_writer import png
from service.inference import Session, open_session
from tests.conftest import Client
from tests.service.exposition import metric
from tests.service.image_files import form, grey
from tests.service.repository.hostile_packages import LOOPING_FOR_BRIGHT
from tests.service.repository.versions import ask, until, write_version

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
TIMEOUT_S, LATEST_S = 3, 5  # the deadline, and when its runs must have ended
LARGE = {"height": 100, "width": 100}  # decoded in a worker, where it runs too


async def test_runs_end_with_their_requests(serving: Client, tmp_path: Path) -> None:
    models, folder = tmp_path / "models", write_version(tmp_path, "1.0", name="trapped").folder
    for name in ("brightness", "trapped"):
        write_version(models, "1.0", name=name)
    LOOPING_FOR_BRIGHT(folder)

    def opened(package: Package) -> Session:
        network = folder / "model.onnx" if package.spec.name == "trapped" else package.weights
        return open_session(network, device="cpu", threads=2)

    async with serving(opened, models=models, timeout_s=TIMEOUT_S) as http:
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


async def test_objects_are_given_up_with_their_requests(serving: Client) -> None:
    noise = np.random.default_rng(0).integers(128, 256, (4000, 4000), np.uint8)  # 20 s
    async with serving(timeout_s=TIMEOUT_S, worker_threads=2, image_bytes=2**33) as http:
        started = time.monotonic()
        body = form(png(noise))
        answers = await asyncio.gather(
            *(http.post("/segment", files=body, data={"model": "blobs"}) for _ in range(3)), ask(http, 100)
        )
        assert [answer.json()["code"] for answer in answers[:3]] == ["deadline_passed"] * 3
        assert answers[3][1] == "dark"

        async def is_free() -> bool:
            return metric((await http.get("/metrics")).text, "striate_reserved_bytes", room="budget") == 0

        await until(is_free)
        assert time.monotonic() - started < LATEST_S
