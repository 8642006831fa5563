"""Tests of metadata: what the protocol tells of the server, its models, and what they have answered."""

import pytest

from service.http.openinference.schemas import AllStats, ModelMetadata, ServerMetadata
from tests.conftest import Client
from tests.service.http.openinference.requests import INFER, ask, images, prepared, tensor
from tests.service.image_files import form, grey

pytestmark = pytest.mark.anyio


async def test_what_the_server_and_its_models_are(serving: Client) -> None:
    async with serving() as http:
        server = ServerMetadata.model_validate((await http.get("/v2")).json())
        bright = ModelMetadata.model_validate((await http.get("/v2/models/brightness")).json())
        blobs = ModelMetadata.model_validate((await http.get("/v2/models/blobs/versions/1.0")).json())
        assert (await http.get("/v2/health/live")).json() == {"live": True}
        assert (await http.get("/v2/health/ready")).json() == {"ready": True}
        assert (await http.get("/v2/models/blobs/ready")).json() == {"name": "blobs", "ready": True}
    assert "binary_tensor_data" in server.extensions
    assert [(given.name, given.datatype, given.shape) for given in (*bright.inputs, *bright.outputs)] == [
        ("image", "FP32", (-1, 1, 8, 8)),
        ("image_bytes", "BYTES", (-1,)),
        ("probabilities", "FP32", (-1, 3)),
        ("cam", "FP32", (-1, 3, 4, 4)),
    ]
    assert blobs.inputs[0].shape == (-1, 1, -1, -1)
    assert [(given.name, given.shape) for given in blobs.outputs] == [("probabilities", (-1, 2, -1, -1))]


async def test_what_happened_is_counted_by_every_route(serving: Client) -> None:
    async with serving() as http:
        await http.post(INFER, json=ask(tensor(prepared(0.1, 0.8, 0.9))))
        await http.post(INFER, json=ask(images(b"no image")))
        await http.post(INFER, content=b"no JSON")
        await http.post("/predict", files=form(grey(204)))
        (one,) = AllStats.model_validate((await http.get("/v2/models/brightness/stats")).json()).model_stats
        every = AllStats.model_validate((await http.get("/v2/models/stats")).json()).model_stats
        text = (await http.get("/metrics")).text
    assert [stats.name for stats in every] == ["blobs", "brightness", "tissue"]
    assert every[1] == one
    counts = {part: spent["count"] for part, spent in one.inference_stats.model_dump().items()}
    assert counts == {
        "success": 2, "fail": 2, "queue": 4, "compute_input": 4, "compute_infer": 4, "compute_output": 4,
    }  # fmt: skip
    assert one.inference_count == 4
    assert one.execution_count == sum(batch.compute_infer.count for batch in one.batch_stats)
    assert sum(batch.batch_size * batch.compute_infer.count for batch in one.batch_stats) == 4
    assert one.inference_stats.compute_infer.ns > 0
    assert one.last_inference > 1e12
    assert every[0].last_inference == every[0].inference_count == 0
    for line in (
        'striate_requests_total{route="/v2/models/{name}/infer",status="200"} 1.0',
        'striate_requests_total{route="/v2/models/{name}/infer",status="415"} 1.0',
        'striate_predictions_total{label="bright",model="brightness"} 3.0',
        'striate_predictions_total{label="dark",model="brightness"} 1.0',
        'striate_errors_total{code="malformed_request"} 1.0',
    ):
        assert f"\n{line}\n" in text, line
