"""The three questions over HTTP, against networks whose answers are known."""

import io
import math

import numpy as np
import pytest

from service.encode.png import png

pytestmark = pytest.mark.anyio


def grey(value: int, *, height: int = 8, width: int = 8) -> bytes:
    return png(np.full((height, width), value, np.uint8))


def file(data: bytes, name: str = "image") -> dict[str, tuple[str, bytes]]:
    return {name: ("scan.png", data)}


async def test_predict_gives_the_probabilities_of_the_formula(serving) -> None:
    async with serving() as http:
        answer = (await http.post("/predict", files=file(grey(204)))).json()  # m = 0.8
    logits = {"dark": 2 - 4 * 0.8, "bright": 4 * 0.8 - 2, "neither": -1.0}
    total = sum(map(math.exp, logits.values()))
    assert [c["label"] for c in answer["classes"]] == ["bright", "neither", "dark"]
    for found in answer["classes"]:
        assert found["probability"] == pytest.approx(math.exp(logits[found["label"]]) / total, abs=1e-6)
    assert [c["decided"] for c in answer["classes"]] == [True, False, False]


async def test_cam_is_the_weighted_block_means_in_the_pixels_of_the_image(serving) -> None:
    image = np.zeros((8, 8), np.uint8)
    image[:4] = 255
    async with serving() as http:
        response = await http.post("/cam", files=file(png(image)), data={"label": "bright", "format": "raw"})
    values = np.load(io.BytesIO(response.content))
    assert (values.shape, values.dtype) == ((8, 8), np.float32)
    assert values[0] == pytest.approx(4.0)
    assert values[-1] == pytest.approx(0.0)
    assert response.headers["X-Striate-Label"] == "bright"


async def test_segment_separates_two_blobs_that_touch(serving) -> None:
    image = np.zeros((10, 13), np.uint8)
    image[2:6, 1:11] = 150
    image[3:5, 2:4] = image[3:5, 8:10] = 250
    async with serving() as http:
        mask = await http.post("/segment", files=file(png(image)), data={"model": "blobs"})
        form = {"model": "blobs", "format": "measurements", "pixel_size_um": "0.5"}
        measured = (await http.post("/segment", files=file(png(image)), data=form)).json()
    assert mask.headers["X-Striate-Count"] == "2"
    assert measured["count"] == 2
    assert sum(found["area_px"] for found in measured["objects"]) == 40
    assert measured["classes"][0]["area_um2"] == 10.0


async def test_models_and_metrics(serving) -> None:
    async with serving() as http:
        models = (await http.get("/models")).json()["models"]
        await http.post("/predict", files=file(grey(0)))
        text = (await http.get("/metrics")).text
    assert [m["name"] for m in models] == ["blobs", "brightness", "tissue"]
    assert 'striate_requests_total{route="/predict",status="200"} 1.0' in text
