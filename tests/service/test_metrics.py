"""What Prometheus gets: the names, closed labels, and counts that are right."""

import re

import pytest

from service.metrics import Metrics
from tests.conftest import Client
from tests.service.files import form, grey

pytestmark = pytest.mark.anyio
NAMES = {
    "striate_requests_total", "striate_request_duration_seconds", "striate_stage_duration_seconds",
    "striate_errors_total", "striate_queue_depth", "striate_rejections_total", "striate_predictions_total",
    "striate_input_warnings_total", "striate_batch_size", "striate_model_info", "striate_model_ready",
    "striate_models_refused", "striate_confidence_ratio", "striate_in_flight_requests",
}  # fmt: skip


def test_the_metrics_are_these() -> None:
    text = Metrics().exposition().decode()
    assert set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE)) == NAMES


async def test_what_happened_is_counted(serving: Client) -> None:
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
        'striate_queue_depth{model="blobs"} 0.0',
        'striate_model_ready{model="tissue",version="1.0"} 1.0',
        "striate_models_refused 0.0",
        "striate_in_flight_requests 1.0",  # this one
        f'striate_model_info{{model="brightness",provider="CPUExecutionProvider",sha256="{info["sha256"]}",'
        'task="classification",version="1.0"} 1.0',
    ):
        assert f"\n{line}\n" in f"\n{text}", line
    assert "Mustermann" not in text
