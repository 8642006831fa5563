"""Routes over HTTP, against networks whose answers are known."""

import io
import json
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL.Image import Exif

from service.encode.png_writer import png
from tests import tiny
from tests.conftest import Client
from tests.service.image_files import HALVES, form, grey, jpeg, tiff

pytestmark = pytest.mark.anyio


async def test_predict_gives_the_probabilities_of_the_formula(serving: Client) -> None:
    async with serving() as http:
        answer = (await http.post("/predict", files=form(grey(204)))).json()
    expected = tiny.brightness_of(0.8)
    assert [found["label"] for found in answer["classes"]] == ["bright", "neither", "dark"]
    for found in answer["classes"]:
        assert found["probability"] == pytest.approx(expected[found["label"]], abs=1e-6)
    assert [found["threshold"] for found in answer["classes"]] == [0.5, 0.2, 0.5]
    assert [found["decided"] for found in answer["classes"]] == [True, False, False]
    assert answer["classes"][2]["name"] == "Dark"


@pytest.mark.parametrize(("sent", "kept"), [("a.b-c:1_2", True), ("two words", False), ("x" * 129, False), ("", False)])
async def test_a_request_id_is_the_callers_if_it_can_stand_in_a_log(serving: Client, sent: str, kept: bool) -> None:
    async with serving() as http:
        for path in ("/livez", "/nowhere"):
            answered = (await http.get(path, headers={"X-Request-ID": sent})).headers["X-Request-ID"]
            assert (answered == sent) is kept
            assert 1 <= len(answered) <= 128


async def test_top_k_limits_the_classes(serving: Client) -> None:
    async with serving() as http:
        answer = (await http.post("/predict", files=form(grey(0)), data={"top_k": "1"})).json()
    assert [found["label"] for found in answer["classes"]] == ["dark"]


RAMP = np.arange(256, dtype=np.uint16).reshape(16, 16) * 257  # 0 to 65535
DEPTHS = {
    "16-bit PNG": png(RAMP),
    "16-bit TIFF": tiff(RAMP),
    "16-bit big-endian deflated TIFF": tiff(RAMP, byteorder=">", compression="zlib"),
    "16-bit colour TIFF": tiff(np.repeat(RAMP[:, :, None], 3, axis=2), photometric="rgb"),
    "16-bit grey and alpha PNG": imagecodecs.png_encode(np.stack([RAMP, np.full_like(RAMP, 9)], axis=2)),
}


@pytest.mark.parametrize("case", DEPTHS)
async def test_sixteen_bits_give_what_the_same_values_give_in_float(serving: Client, tmp_path: Path, case: str) -> None:
    steps = [{"id": "ensure_dtype"}, {"id": "scale_linear", "gain": 1 / 65535}]
    tiny.brightness(tmp_path, input={"channels": 1, "size": (8, 8), "steps": steps})
    async with serving(models=tmp_path) as http:
        answers = [
            (await http.post("/predict", files=form(data))).json()
            for data in (DEPTHS[case], tiff(RAMP.astype(np.float32)))
        ]
    sixteen, real = ({c["label"]: c["probability"] for c in answer["classes"]} for answer in answers)
    assert [answer["input"]["dtype"] for answer in answers] == ["uint16", "float32"]
    assert sixteen == pytest.approx(real, abs=1e-6)
    assert sixteen == pytest.approx(tiny.brightness_of(0.5), abs=1e-4)  # clipped to 8 bits it would be 0.996 of white


async def test_raw_cam_is_the_weighted_block_means_in_the_pixels_of_the_image(serving: Client) -> None:
    async with serving() as http:
        response = await http.post("/cam", files=form(png(HALVES)), data={"label": "bright", "format": "raw"})
    values = np.load(io.BytesIO(response.content))
    assert (values.shape, values.dtype) == ((8, 8), np.float32)
    assert values[0] == pytest.approx(4.0)
    assert values[-1] == pytest.approx(0.0)
    assert response.headers["Content-Type"] == "application/x-npy"


async def test_cam_is_of_the_most_probable_class_unless_told(serving: Client) -> None:
    async with serving() as http:
        top = await http.post("/cam", files=form(grey(0, height=11, width=17)))
        told = await http.post("/cam", files=form(grey(0)), data={"label": "bright"})
    assert (top.headers["X-Striate-Label"], told.headers["X-Striate-Label"]) == ("dark", "bright")
    expected = tiny.brightness_of(0)
    for response in (top, told):
        label = response.headers["X-Striate-Label"]
        assert float(response.headers["X-Striate-Probability"]) == pytest.approx(expected[label], abs=1e-5)


@pytest.mark.parametrize("picture", ["overlay", "heatmap"])
@pytest.mark.parametrize("size", [(3, 40), (9, 9), (333, 70)])
async def test_cam_pictures_have_the_size_of_the_image(serving: Client, picture: str, size: tuple[int, int]) -> None:
    height, width = max(size[0], 4), size[1]
    async with serving() as http:
        response = await http.post(
            "/cam", files=form(grey(200, height=height, width=width)), data={"format": picture, "colormap": "turbo"}
        )
    assert response.headers["Content-Type"] == "image/png"
    assert imagecodecs.png_decode(response.content).shape == (height, width, 3)


async def test_an_overlay_hides_only_what_the_network_looked_at(serving: Client) -> None:
    async with serving() as http:
        response = await http.post("/cam", files=form(png(HALVES)), data={"label": "bright", "alpha": "1"})
    picture = imagecodecs.png_decode(response.content)
    assert (picture[-1] == 0).all()  # the image's own black
    assert (picture[0] != 255).any(axis=1).all()


async def test_turned_images_are_answered_upright(serving: Client) -> None:
    exif = Exif()
    exif[274] = 6  # stored lying on its side
    async with serving() as http:
        answer = (await http.post("/predict", files=form(jpeg(np.zeros((8, 20, 3), np.uint8), exif=exif)))).json()
        picture = await http.post("/cam", files=form(jpeg(np.zeros((8, 20, 3), np.uint8), exif=exif)))
    assert (answer["input"]["width"], answer["input"]["height"]) == (8, 20)
    assert imagecodecs.png_decode(picture.content).shape == (20, 8, 3)


async def test_the_openapi_document_has_every_route_and_every_field(serving: Client) -> None:
    async with serving() as http:
        document = (await http.get("/docs.json")).json()
        routes = (await http.get("/")).json()["routes"]
    assert set(document["paths"]) == set(routes)
    fields = document["paths"]["/cam"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    assert set(fields) == {"image", "model", "label", "method", "format", "colormap", "alpha"}
    text = json.dumps(document)
    for name in document["components"]["schemas"]:
        assert f'"#/components/schemas/{name}"' in text
