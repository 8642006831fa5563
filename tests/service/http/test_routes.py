"""The three questions over HTTP, against networks whose answers are known."""

import io
import json
import math
from pathlib import Path
from urllib.parse import unquote

import imagecodecs
import numpy as np
import pytest
from PIL.Image import Exif

from models.image import Array
from service.encode.png_writer import png
from tests import tiny
from tests.conftest import Client
from tests.service.image_files import form, grey, jpeg, tiff

pytestmark = pytest.mark.anyio

HALVES = np.zeros((8, 8), np.uint8)  # bright above, dark below
HALVES[:4] = 255
BLOBS = np.zeros((10, 13), np.uint8)  # two cores joined by a bridge: two objects of 4 x 5 pixels that touch
BLOBS[2:6, 1:11] = 150
BLOBS[3:5, 2:4] = BLOBS[3:5, 8:10] = 250


def brightness_of(m: float) -> dict[str, float]:
    """What tiny.brightness must answer for an image of mean m in [0, 1]."""
    logits = {"dark": 2 - 4 * m, "bright": 4 * m - 2, "neither": -1.0}
    total = sum(map(math.exp, logits.values()))
    return {label: math.exp(logit) / total for label, logit in logits.items()}


async def test_predict_gives_the_probabilities_of_the_formula(serving: Client) -> None:
    async with serving() as http:
        answer = (await http.post("/predict", files=form(grey(204)))).json()
    expected = brightness_of(0.8)
    assert [found["label"] for found in answer["classes"]] == ["bright", "neither", "dark"]
    for found in answer["classes"]:
        assert found["probability"] == pytest.approx(expected[found["label"]], abs=1e-6)
    assert [found["threshold"] for found in answer["classes"]] == [0.5, 0.2, 0.5]
    assert [found["decided"] for found in answer["classes"]] == [True, False, False]
    assert answer["classes"][2]["name"] == "Dark"


async def test_every_json_answer_says_what_it_is_about(serving: Client) -> None:
    data = jpeg(np.full((20, 30, 3), 90, np.uint8))
    async with serving() as http:
        answer = (await http.post("/predict", files=form(data), headers={"X-Request-ID": "case-7"})).json()
        model = (await http.get("/models/brightness")).json()
    assert answer["request_id"] == "case-7"
    assert answer["model"] == {key: model[key] for key in ("name", "version", "sha256")}
    digest = answer["input"].pop("sha256")
    assert len(digest) == 64
    assert answer["input"] == {"width": 30, "height": 20, "channels": 3, "dtype": "uint8", "format": "jpeg"}
    assert list(answer["timings_ms"]) == ["decode", "preprocess", "queue", "infer", "postprocess", "encode"]
    assert [warning["code"] for warning in answer["warnings"]] == ["constant_image"]


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


async def test_an_image_may_be_the_body_and_its_options_the_query(serving: Client) -> None:
    async with serving() as http:
        answer = await http.post("/predict?top_k=1", content=grey(0), headers={"Content-Type": "image/png"})
    assert [found["label"] for found in answer.json()["classes"]] == ["dark"]


async def test_several_images_have_their_results_in_order(serving: Client) -> None:
    values = [0, 51, 102, 153, 204, 255]
    async with serving() as http:
        answer = (await http.post("/predict", files=form(*map(grey, values)))).json()
    for value, result in zip(values, answer["results"], strict=True):
        found = {known["label"]: known["probability"] for known in result["classes"]}
        assert found["bright"] == pytest.approx(brightness_of(value / 255)["bright"], abs=1e-6)
    assert answer["model"]["name"] == "brightness"


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
    assert sixteen == pytest.approx(brightness_of(0.5), abs=1e-4)  # clipped to 8 bits it would be 0.996 of white


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
    expected = brightness_of(0)
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


async def test_binary_answers_say_what_json_ones_do_in_their_headers(serving: Client) -> None:
    async with serving() as http:
        response = await http.post("/cam", files=form(grey(200)), headers={"X-Request-ID": "case-8"})
        model = (await http.get("/models/brightness")).json()
    headers = response.headers
    assert headers["X-Request-ID"] == "case-8"
    assert headers["X-Striate-Model"] == "brightness"
    assert headers["X-Striate-Model-Version"] == "1.0"
    assert headers["X-Striate-Model-Sha256"] == model["sha256"]
    assert json.loads(headers["X-Striate-Input"])["width"] == 8
    assert json.loads(headers["X-Striate-Warnings"])[0]["code"] == "constant_image"
    assert set(json.loads(headers["X-Striate-Timings-Ms"])) >= {"decode", "infer", "encode"}


async def test_a_label_that_no_header_can_hold_is_percent_encoded(serving: Client, tmp_path: Path) -> None:
    tiny.brightness(tmp_path, classes=[{"label": "100 % Ödem\n"}, {"label": "b"}, {"label": "c"}])
    async with serving(models=tmp_path) as http:
        response = await http.post("/cam", files=form(grey(0)))
    assert unquote(response.headers["X-Striate-Label"]) == "100 % Ödem\n"


async def test_segment_numbers_objects_that_touch(serving: Client) -> None:
    async with serving() as http:
        response = await http.post("/segment", files=form(png(BLOBS)), data={"model": "blobs"})
    mask = imagecodecs.png_decode(response.content)
    assert (mask.shape, mask.dtype) == (BLOBS.shape, np.uint8)
    assert response.headers["X-Striate-Count"] == "2"
    assert ((mask > 0) == (BLOBS > 0)).all()
    assert mask[4, 2] != mask[4, 9]


async def test_measurements_are_in_pixels_and_micrometres(serving: Client) -> None:
    square = np.zeros((12, 9), np.uint8)
    square[2:6, 3:8] = 250
    data = {"model": "blobs", "format": "measurements"}
    async with serving() as http:
        unknown = (await http.post("/segment", files=form(png(square)), data=data)).json()
        told = (await http.post("/segment", files=form(png(square)), data={**data, "pixel_size_um": "0.5"})).json()
        file = tiff(square, resolution=(40_000, 40_000), resolutionunit="CENTIMETER")  # 0.25 um
        in_file = (await http.post("/segment", files=form(file), data=data)).json()
    assert [answer["pixel_size_um"] for answer in (unknown, told, in_file)] == [None, 0.5, 0.25]
    (found,) = told["objects"]
    assert (found["id"], found["label"], found["area_px"], found["area_um2"]) == (1, "blob", 20, 5.0)
    assert (found["centroid_px"], found["centroid_um"]) == ({"x": 5.0, "y": 3.5}, {"x": 2.5, "y": 1.75})
    assert found["bbox_px"] == {"x": 3, "y": 2, "width": 5, "height": 4}
    assert found["mean_probability"] == pytest.approx(1.0)
    (blob,) = told["classes"]
    assert (blob["objects"], blob["area_px"], blob["area_um2"]) == (1, 20, 5.0)
    assert blob["area_fraction"] == pytest.approx(20 / 108)
    assert unknown["objects"][0]["area_um2"] is None
    assert unknown["objects"][0]["centroid_um"] is None


async def test_probabilities_are_the_classes_alone(serving: Client) -> None:
    async with serving() as http:
        response = await http.post(
            "/segment", files=form(png(BLOBS)), data={"model": "blobs", "format": "probabilities"}
        )
    values = np.load(io.BytesIO(response.content))
    assert (values.shape, values.dtype) == ((1, *BLOBS.shape), np.float32)  # not the seeds
    assert json.loads(response.headers["X-Striate-Channels"]) == ["blob"]
    assert values[0] == pytest.approx((BLOBS >= 128).astype(float), abs=1e-6)


async def test_a_segmenter_without_objects_gives_its_classes(serving: Client) -> None:
    image = np.zeros((6, 9, 3), np.uint8)
    image[:2, :, 0] = 200  # red
    image[4:, 2:4, 1] = image[4:, 6:8, 1] = 200  # two of green
    async with serving() as http:
        labels = await http.post("/segment", files=form(png(image)), data={"model": "tissue"})
        data = {"model": "tissue", "format": "measurements"}
        measured = (await http.post("/segment", files=form(png(image)), data=data)).json()
        overlay = await http.post("/segment", files=form(png(image)), data={"model": "tissue", "format": "overlay"})
    mask = imagecodecs.png_decode(labels.content)
    assert json.loads(labels.headers["X-Striate-Values"]) == {"0": "background", "1": "red", "2": "green"}
    assert (mask[0, 0], mask[3, 0], mask[4, 2]) == (1, 0, 2)
    objects = {known["label"]: known["objects"] for known in measured["classes"]}
    assert objects == {"background": 0, "red": 1, "green": 2}
    assert [found["label"] for found in measured["objects"]] == ["red", "green", "green"]
    assert sum(known["area_px"] for known in measured["classes"]) == 54
    assert imagecodecs.png_decode(overlay.content).shape == (6, 9, 3)


async def test_classes_that_overlap_have_a_mask_each(serving: Client, tmp_path: Path) -> None:
    tiny.stains(tmp_path)
    image = np.zeros((6, 9, 3), np.uint8)
    image[:4, :, 0] = 150
    image[2:, 3:5, 1] = image[5, 8, 1] = 220
    async with serving(models=tmp_path) as http:
        masks, labels = [
            await http.post("/segment", files=form(png(image)), data={"format": kind}) for kind in ("masks", "labels")
        ]
        measured = (await http.post("/segment", files=form(png(image)), data={"format": "measurements"})).json()
        model = (await http.get("/models/stains")).json()
    values = np.load(io.BytesIO(masks.content))
    assert (values.dtype, json.loads(masks.headers["X-Striate-Channels"])) == (np.uint8, ["red", "green"])
    np.testing.assert_array_equal(values, np.moveaxis(image[:, :, :2] >= 100, 2, 0))
    assert imagecodecs.png_decode(labels.content)[2, 3] == 1  # a picture has one class a pixel
    assert [(c["label"], c["objects"], c["area_px"]) for c in measured["classes"]] == [("red", 1, 36), ("green", 2, 9)]
    assert [found["label"] for found in measured["objects"]] == ["red", "green", "green"]
    assert model["classes_overlap"]


async def test_masks_of_classes_that_exclude_one_another(serving: Client) -> None:
    image = np.zeros((6, 9, 3), np.uint8)
    image[:2, :, 0] = 200
    async with serving() as http:
        answer = await http.post("/segment", files=form(png(image)), data={"model": "tissue", "format": "masks"})
        told = {model["name"]: model["classes_overlap"] for model in (await http.get("/models")).json()["models"]}
    values = np.load(io.BytesIO(answer.content))
    assert values.sum(axis=(1, 2)).tolist() == [36, 18, 0]
    assert not any(told.values())


async def test_more_than_255_objects_need_sixteen_bits(serving: Client) -> None:
    image = np.zeros((64, 64), np.uint8)
    for y, x in np.ndindex(16, 16):
        image[4 * y : 4 * y + 2, 4 * x : 4 * x + 2] = 250
    image[:4, :4] = 0  # 255 are left
    async with serving() as http:
        eight = await http.post("/segment", files=form(png(image)), data={"model": "blobs"})
        image[:2, :2] = 250
        sixteen = await http.post("/segment", files=form(png(image)), data={"model": "blobs"})
    assert [imagecodecs.png_decode(r.content).dtype for r in (eight, sixteen)] == [np.uint8, np.uint16]
    assert [imagecodecs.png_decode(r.content).max() for r in (eight, sixteen)] == [255, 256]


@pytest.mark.parametrize("size", [(5, 7), (64, 64), (131, 200)])
async def test_tiles_give_what_the_whole_image_gives(serving: Client, size: tuple[int, int]) -> None:
    pixels: Array = np.random.default_rng(0).integers(0, 256, size).astype(np.uint8)
    data = {"model": "blobs", "format": "probabilities"}
    async with serving(tile_px=64) as tiled, serving() as whole:
        answers = [(await http.post("/segment", files=form(png(pixels)), data=data)).content for http in (tiled, whole)]
    assert answers[0] == answers[1]


async def test_turned_images_are_answered_upright(serving: Client) -> None:
    exif = Exif()
    exif[274] = 6  # stored lying on its side
    async with serving() as http:
        answer = (await http.post("/predict", files=form(jpeg(np.zeros((8, 20, 3), np.uint8), exif=exif)))).json()
        picture = await http.post("/cam", files=form(jpeg(np.zeros((8, 20, 3), np.uint8), exif=exif)))
    assert (answer["input"]["width"], answer["input"]["height"]) == (8, 20)
    assert imagecodecs.png_decode(picture.content).shape == (20, 8, 3)


async def test_models_tell_what_a_caller_needs(serving: Client) -> None:
    async with serving() as http:
        models = (await http.get("/models")).json()["models"]
        one = (await http.get("/models/brightness")).json()
        unknown = await http.get("/models/nothing")
    assert [model["name"] for model in models] == ["blobs", "brightness", "tissue"]
    assert models[1] == one
    assert (one["status"], one["task"], one["provider"]) == ("ready", "classification", "CPUExecutionProvider")
    size = {"channels": 1, "height": 8, "width": 8, "smallest_image_px": 4, "pixel_size_um": None}
    assert one["input"] == {"kind": "image", "letters": "", **size}
    assert [known["label"] for known in one["classes"]] == ["dark", "bright", "neither"]
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_model")


async def test_unknown_paths_and_methods_have_the_one_error_shape(serving: Client) -> None:
    async with serving() as http:
        path = await http.get("/predictions")
        method = await http.get("/predict")
    assert (path.status_code, path.json()["code"]) == (404, "no_such_route")
    assert "/predict" in path.json()["error"]
    assert (method.status_code, method.json()["code"], method.headers["Allow"]) == (405, "method_not_allowed", "POST")


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
