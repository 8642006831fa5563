"""Tests of the metrics: their names, closed label sets and counts."""

import asyncio
import os
import re
from pathlib import Path

import httpx
import numpy as np
import pytest

from service.encode.png_writer import png
from service.scheduling.memory_budget import SMALL_BYTES
from service.telemetry.metrics import Metrics
from tests import tiny
from tests.conftest import Client
from tests.service.exposition import metric
from tests.service.gated_sessions import Gate
from tests.service.image_files import form, grey

pytestmark = pytest.mark.anyio
NAMES = {
    "striate_requests_total", "striate_request_duration_seconds", "striate_stage_duration_seconds",
    "striate_errors_total", "striate_queue_depth", "striate_rejections_total", "striate_predictions_total",
    "striate_input_warnings_total", "striate_failed_runs_total", "striate_batch_size", "striate_model_info",
    "striate_model_ready", "striate_models_refused", "striate_confidence_ratio", "striate_in_flight_requests",
    "striate_service_info", "striate_queue_limit", "striate_batches_total", "striate_input_side_pixels",
    "striate_input_deviation_ratio", "striate_inputs_outside_total", "striate_event_loop_lag_seconds",
    "striate_engine_starts_total", "striate_ready", "striate_model_state", "striate_model_memory_bytes",
    "striate_repository_available", "striate_shadow_compared_total", "striate_shadow_differed_total",
    "striate_preparing_images", "striate_reserved_bytes",
}  # fmt: skip


def test_the_names_of_all_metrics() -> None:
    text = Metrics().exposition().decode()
    assert set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE)) == NAMES


async def accounts(http: httpx.AsyncClient) -> tuple[float, ...]:
    """What requests hold: places for images, bytes of the budget, bytes beside it."""
    text, name = (await http.get("/metrics")).text, "striate_reserved_bytes"
    reserved = (metric(text, name, room=room) for room in ("budget", "small"))
    return metric(text, "striate_preparing_images"), *reserved


@pytest.mark.parametrize("side", [280, 1200, 1600])  # of noise: 79 KB, 1.4 MB, 2.6 MB
async def test_what_a_request_holds_is_shown_until_it_ends(serving: Client, side: int) -> None:
    gate, image = Gate(), png(np.random.default_rng(0).integers(0, 256, (side, side), np.uint8))
    needed = len(image), 26 * side * side  # of the body, and of the image
    held = 1, sum(each for each in needed if each > SMALL_BYTES), sum(each for each in needed if each <= SMALL_BYTES)
    async with serving(open_session=gate.session) as http:
        gate.shut()
        asking = asyncio.create_task(http.post("/predict", content=image, headers={"Content-Type": "image/png"}))
        async with asyncio.timeout(60):
            while await accounts(http) != held:
                await asyncio.sleep(0.01)
            gate.open()
            assert (await asking).status_code == 200
            while await accounts(http) != (0, 0, 0):
                await asyncio.sleep(0.01)


async def test_requests_and_images_are_counted(serving: Client) -> None:
    async with serving() as http:
        await http.post("/predict", files=form(grey(204), grey(0), b"no image"))
        await http.post("/predict", files=form(b"no image"))
        await http.get("/patients/Mustermann")
        await http.get("/models/Mustermann")
        await http.post("/segment", files=form(grey(0)), data={"model": "blobs"})
        text = (await http.get("/metrics")).text
        info = (await http.get("/models/brightness")).json()
    for line in (
        'striate_requests_total{route="/predict",status="200"} 1.0',
        'striate_requests_total{route="/predict",status="415"} 1.0',
        'striate_requests_total{route="other",status="404"} 1.0',
        'striate_requests_total{route="/models/{name}",status="404"} 1.0',
        'striate_request_duration_seconds_count{route="/predict"} 2.0',
        'striate_errors_total{code="not_an_image"} 2.0',
        'striate_errors_total{code="unknown_model"} 1.0',
        'striate_predictions_total{label="bright",model="brightness"} 1.0',
        'striate_predictions_total{label="dark",model="brightness"} 1.0',
        'striate_confidence_ratio_count{model="brightness"} 2.0',
        'striate_input_warnings_total{code="constant_image",model="brightness"} 2.0',
        'striate_stage_duration_seconds_count{model="brightness",stage="infer"} 2.0',
        'striate_stage_duration_seconds_count{model="blobs",stage="encode"} 1.0',
        'striate_batch_size_count{model="brightness"} 2.0',
        'striate_batches_total{model="blobs",released="idle"} 1.0',
        'striate_input_side_pixels_bucket{le="16.0",model="brightness"} 2.0',
        'striate_errors_total{code="internal"} 0.0',  # present from the first scrape on
        'striate_rejections_total{reason="queue_full"} 0.0',
        'striate_queue_depth{model="blobs"} 0.0',
        'striate_model_ready{model="tissue",version="1.0"} 1.0',
        'striate_model_state{model="tissue",state="ready",version="1.0"} 1.0',
        "striate_ready 1.0",
        "striate_repository_available 1.0",
        "striate_models_refused 0.0",
        "striate_in_flight_requests 1.0",  # this one
        f'striate_model_info{{model="brightness",provider="CPUExecutionProvider",sha256="{info["sha256"]}",'
        'task="classification",version="1.0"} 1.0',
    ):
        assert f"\n{line}\n" in f"\n{text}", line
    assert "Mustermann" not in text


async def test_images_are_compared_with_the_training_range(tmp_path: Path, serving: Client) -> None:
    usual = {"mean": (0.2, 0.6), "std": (0.0, 0.5), "p1": (0.0, 1.0), "p99": (0.0, 0.5)}  # of the prepared tensor
    intensity = {name: {"low": low, "high": high} for name, (low, high) in usual.items()}
    tiny.brightness(tmp_path, intensity=intensity)
    async with serving(models=tmp_path) as http:
        await http.post("/predict", files=form(grey(0), grey(102), grey(204)))  # 0, 0.4, 0.8
        text = (await http.get("/metrics")).text
    for line in (
        'striate_input_deviation_ratio_bucket{figure="mean",le="-1.5",model="brightness"} 1.0',  # 0 is at -2
        'striate_input_deviation_ratio_bucket{figure="mean",le="1.5",model="brightness"} 2.0',  # 0.8 is at 2
        'striate_input_deviation_ratio_count{figure="std",model="brightness"} 3.0',
        'striate_inputs_outside_total{figure="mean",model="brightness",side="low"} 1.0',
        'striate_inputs_outside_total{figure="mean",model="brightness",side="high"} 1.0',
        'striate_inputs_outside_total{figure="p99",model="brightness",side="high"} 1.0',
        'striate_inputs_outside_total{figure="p99",model="brightness",side="low"} 0.0',
    ):
        assert f"\n{line}\n" in text, line


async def test_a_caller_cannot_create_series(serving: Client) -> None:
    async with serving(log_level="error") as http:

        async def series() -> int:
            lines = (await http.get("/metrics")).text.splitlines()
            return sum(not line.startswith("#") for line in lines)

        async def invent(name: str) -> None:
            headers = {"X-Request-ID": name, "traceparent": f"00-{name}-{name[:16]}-01", "Origin": f"http://{name}.org"}
            await http.get(f"/{name}", headers=headers)
            await http.get(f"/models/{name}")
            await http.get(f"/v2/models/{name}/stats")
            await http.request(name[:12].upper(), "/predict")
            await http.post("/predict", files=form(grey(0), name=name), data={"model": name})
            await http.post("/cam", files=form(grey(0)), data={"label": name})
            await http.post("/segment", files=form(grey(0)), data={name: name})

        await invent("first" * 7)
        await series()  # a scrape itself adds series of its route and status
        before = await series()
        for _ in range(1000):
            await invent(os.urandom(16).hex())
        assert await series() == before
