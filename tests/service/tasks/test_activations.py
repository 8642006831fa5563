"""Tests of activations: a layer's maps and the first filters, where their values are known."""

import json
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from models import package
from service.encode.png_writer import png
from service.errors import UnknownLayer
from service.tasks.activations import side_by_side, stretched, tap_of
from tests.conftest import Client
from tests.service.image_files import HALVES, form, grey, npy_values
from tests.service.shades import FILTERS, shades_and_brightness

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shades_and_brightness(tmp_path_factory.mktemp("maps"))


async def test_a_layers_maps_are_the_networks(serving: Client, models: Path) -> None:
    blocks = np.repeat([255, 255, 0, 0], 4).reshape(4, 4) / 255
    async with serving(models=models) as http:
        one = await http.post("/activations", files=form(png(HALVES)), data={"model": "shades", "format": "raw"})
        fields = {"model": "shades", "layer": "three.times", "format": "raw", "first": "1", "count": "2"}
        two = await http.post("/activations", files=form(png(HALVES)), data=fields)
    np.testing.assert_allclose(npy_values(one.content), blocks[None], rtol=1e-6)
    np.testing.assert_allclose(npy_values(two.content), [2 * blocks, -blocks], rtol=1e-6)
    assert one.headers["X-Striate-Layer"] == "blocks"
    assert (two.headers["X-Striate-Channels"], two.headers["X-Striate-Of"]) == ("[1, 2]", "3")
    assert two.headers["X-Striate-Model"] == "shades"


async def test_the_picture_shows_each_map_in_its_own_range(serving: Client, models: Path) -> None:
    fields = {"model": "shades", "layer": "three.times", "colormap": "gray"}
    async with serving(models=models) as http:
        response = await http.post("/activations", files=form(png(HALVES)), data=fields)
    picture = imagecodecs.png_decode(response.content)[..., 0]
    assert json.loads(response.headers["X-Striate-Ranges"]) == [[0, 1], [0, 2], [-1, 0]]
    assert response.headers["X-Striate-Columns"] == "2"
    assert picture.shape == (65, 65)  # two rows of two maps, 4 x 4 enlarged to 32 x 32, a pixel between them
    assert [int(picture[y, x]) for y, x in ((0, 0), (31, 0), (0, 33), (33, 0), (64, 0))] == [255, 0, 255, 0, 255]
    assert not picture[33:, 33:].any()


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"model": "shades", "layer": "fc"}, "unknown_layer"),
        ({"model": "brightness"}, "unknown_layer"),
        ({"model": "shades", "layer": "three.times", "first": "3"}, "invalid_option"),
        ({"model": "shades", "count": "65"}, "invalid_option"),
    ],
)
async def test_what_cannot_be_shown_is_refused(
    serving: Client, models: Path, fields: dict[str, str], code: str
) -> None:
    async with serving(models=models) as http:
        answer = await http.post("/activations", files=form(grey(200)), data=fields)
    assert (answer.status_code, answer.json()["code"]) == (422, code)


async def test_the_filters_are_shown_and_given(serving: Client, models: Path) -> None:
    async with serving(models=models) as http:
        numbers = await http.get("/models/shades/filters", params={"format": "raw"})
        picture = await http.get("/models/shades/filters")
        none = await http.get("/models/brightness/filters")
        about = (await http.get("/models/shades")).json()
    np.testing.assert_array_equal(npy_values(numbers.content), FILTERS)
    assert json.loads(picture.headers["X-Striate-Ranges"]) == [[0, 3], [4, 7], [8, 11]]
    assert [int(v) for v in imagecodecs.png_decode(picture.content)[::16, ::16][0, :2]] == [0, 85]
    assert (none.status_code, none.json()["code"]) == (422, "unknown_layer")
    assert about["has_filters"]
    assert [layer["name"] for layer in about["layers"]] == ["blocks", "three.times"]
    assert about["layers"][1] == {
        "name": "three.times", "channels": 3, "height": 4, "width": 4, "receptive_field_px": 2, "origin_px": 0.5,
        "stride_px": 2.0,
    }  # fmt: skip


def test_each_map_is_stretched_by_itself_and_a_constant_becomes_zeros() -> None:
    scaled, ranges = stretched(np.array([[[2.0, 6.0]], [[-1.0, 0.0]], [[7.0, 7.0]]]))
    assert scaled.tolist() == [[[0, 1]], [[0, 1]], [[0, 0]]]
    assert ranges == [[2, 6], [-1, 0], [7, 7]]


@pytest.mark.parametrize(
    ("shape", "size", "columns"),
    [
        ((1, 32, 32), (32, 32), 1),
        ((1, 33, 33), (33, 33), 1),  # large enough as it is
        ((2, 16, 16), (32, 65), 2),  # enlarged twice
        ((3, 40, 50), (81, 101), 2),
        ((5, 1, 8), (9, 98), 3),  # by its longer side, four times
        ((2, 32, 32, 3), (32, 65, 3), 2),
    ],
)
def test_maps_stand_side_by_side_a_pixel_apart(shape: tuple[int, ...], size: tuple[int, ...], columns: int) -> None:
    picture, found = side_by_side(np.full(shape, 9, np.uint8))
    assert (picture.shape, found) == (size, columns)


def test_a_layer_is_the_one_asked_for_or_the_packages_first(models: Path) -> None:
    spec = package.read(models / "shades/1.0").spec
    assert (tap_of(None, spec).layer, tap_of("three.times", spec).layer) == ("blocks", "three.times")
    with pytest.raises(UnknownLayer, match=r"'blocks', 'three\.times'"):
        tap_of("tap_blocks", spec)
