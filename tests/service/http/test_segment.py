"""Segmentation over HTTP, by networks whose masks are known."""

import io
import json
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from service.encode.png_writer import png
from tests import tiny
from tests.conftest import Client
from tests.service.image_files import BLOBS, form, tiff

pytestmark = pytest.mark.anyio


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
