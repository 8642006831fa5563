"""Signals and sequences over HTTP: what is taken, what is refused, and answers known by hand."""

import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.image import Array
from models.rdf import from_rdf, to_rdf
from tests import tiny
from tests.conftest import Client
from tests.service.image_files import form, grey

pytestmark = pytest.mark.anyio

CGCGAAAC = np.array([[0, 0, 0, 0, 1, 1, 1, 0], [1, 0, 1, 0, 0, 0, 0, 1], [0, 1, 0, 1, 0, 0, 0, 0], [0] * 8])  # 5 of 8
RICH = 1 / (1 + math.exp(-(8 * 5 / 8 - 4)))
JSON, NPY = {"Content-Type": "application/json"}, {"Content-Type": "application/x-npy"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    tiny.bases(tmp_path)
    tiny.brightness(tmp_path)
    return tmp_path


def npy(array: Array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def text(value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("body", "headers", "dtype", "format"),
    [
        (text("cgcgaaac"), JSON, "uint8", "json"),
        (text("CGCGAAAC"), JSON, "uint8", "json"),
        (text(CGCGAAAC.tolist()), JSON, "float64", "json"),
        (b" \n" + json.dumps(CGCGAAAC.tolist(), indent=4).encode(), JSON, "float64", "json"),
        (npy(CGCGAAAC), NPY, "int64", "npy"),
        (npy(CGCGAAAC.astype(bool)), NPY, "bool", "npy"),
        (npy(np.asfortranarray(CGCGAAAC.astype(">f4"))), NPY, "float32", "npy"),
        (npy(CGCGAAAC.astype(np.float16)), {"Content-Type": "application/octet-stream"}, "float16", "npy"),
    ],
)
async def test_an_array_is_answered_in_whatever_form_it_comes(
    serving: Client, body: bytes, headers: dict[str, str], dtype: str, format: str
) -> None:
    async with serving() as http:
        answer = (await http.post("/predict?model=bases", content=body, headers=headers)).json()
    assert answer["classes"][0]["label"] == "rich"
    assert answer["classes"][0]["probability"] == pytest.approx(RICH, abs=1e-6)
    answer["input"].pop("sha256")
    assert answer["input"] == {"width": 8, "height": 1, "channels": 4, "dtype": dtype, "format": format}


async def test_several_signals_are_answered_one_by_one(serving: Client) -> None:
    files = form(text("cgcgaaac")) + form(text("cgcgaaa")) + form(npy(CGCGAAAC[::-1]))
    async with serving() as http:
        answer = (await http.post("/predict", files=files, data={"model": "bases"})).json()
    first, second, third = answer["results"]
    assert first["classes"][0]["probability"] == pytest.approx(RICH, abs=1e-6)
    assert (second["code"], second["status"]) == ("bad_signal", 422)
    assert third["classes"][0]["probability"] == pytest.approx(RICH, abs=1e-6)  # c and g changed places


def header(text: str) -> bytes:
    """A .npy file of this header and 256 zero bytes."""
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + bytes(256)


@pytest.mark.parametrize(
    ("body", "status", "code", "says"),
    [
        (b"", 415, "not_a_signal", "is empty"),
        (b"\x89PNG\r\n\x1a\n", 415, "not_a_signal", "89 50 4e 47"),
        (b'{"instances": [1]}', 415, "not_a_signal", "an array as NPY or JSON"),
        (text("cgcgaaa"), 422, "bad_signal", r"its shape is (4, 7); this model takes (4, 8)"),
        (text("cgcgaaan"), 422, "bad_signal", "place 8 holds 'n'; this model knows the letters a, c, g, t"),
        (text([0.5] * 8), 422, "bad_signal", "its shape is (8,)"),
        (text([[1, 2], [3]]), 422, "bad_signal", "all of one length"),
        (text([[True] * 8] * 4), 422, "bad_signal", "a list of numbers"),
        (text([["1"] * 8] * 4), 422, "bad_signal", "a list of numbers"),
        (b"[[1, 2", 422, "bad_signal", "it is not JSON"),
        (b"[" * 400, 422, "bad_signal", "it has 400 lists; this model takes one for each of 4"),
        (b"[" + b" " * 10_000 + b"]", 422, "bad_signal", "10,002 bytes are more than 4 x 8 values can take"),
        (npy(np.full((4, 8), np.nan)), 422, "not_finite", "32"),
        (npy(np.full((4, 8), 1e300)), 422, "values_too_large", "overflow"),
        (npy(np.zeros((4, 8), complex)), 422, "bad_signal", "plain array of numbers"),
        (npy(CGCGAAAC)[:-1], 422, "bad_signal", "but 255 bytes follow"),
        (header("{'descr': '|O', 'fortran_order': False, 'shape': (4, 8), }\n"), 422, "bad_signal", "plain array"),
        (header("{'descr': '<f8', 'fortran_order': False, 'shape': (4, 9999999), }\n"), 422, "bad_signal", "256 bytes"),
        (header("{'descr': '<f8', 'fortran_order': False, 'shape': (-4, -8), }\n"), 422, "bad_signal", "plain array"),
        (header("__import__('os').abort()\n"), 422, "bad_signal", "plain array"),
        (header("-" * 500 + "1\n"), 422, "bad_signal", "plain array"),
    ],
)  # fmt: skip
async def test_what_is_no_signal_of_this_model_is_refused(
    serving: Client, body: bytes, status: int, code: str, says: str
) -> None:
    async with serving() as http:
        refused = await http.post("/predict?model=bases", content=body, headers=NPY)
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert says in refused.json()["error"]


async def test_a_model_of_images_takes_no_array_and_one_of_signals_no_image(serving: Client) -> None:
    async with serving() as http:
        array = await http.post("/predict?model=brightness", content=text([1, 2]), headers=JSON)
        image = await http.post("/predict", files=form(grey(9)), data={"model": "bases"})
    assert (array.status_code, array.json()["code"]) == (415, "not_an_image")
    assert (image.status_code, image.json()["code"]) == (415, "not_a_signal")


async def test_the_map_is_given_along_the_signal(serving: Client) -> None:
    async with serving() as http:
        answer = await http.post("/cam?model=bases&format=raw&label=rich", content=text("cgcgaaac"), headers=JSON)
    values = np.load(io.BytesIO(answer.content))
    assert values.shape == (1, 8)
    # Pairs give 8, 8, 0, 4 at the places 0.5, 2.5, 4.5, 6.5; between them it is linear.
    np.testing.assert_allclose(values[0], [8, 8, 8, 6, 2, 1, 3, 4], atol=1e-5)
    assert answer.headers["X-Striate-Label"] == "rich"


async def test_occlusion_goes_along_the_signal_too(serving: Client) -> None:
    async with serving() as http:
        query = "model=bases&format=raw&label=rich&method=occlusion"
        answer = await http.post(f"/cam?{query}", content=text("cgcgaaac"), headers=JSON)
    values = np.load(io.BytesIO(answer.content))
    assert values.shape == (1, 8)
    # Covered by the mean, c and g are fewer where they were and more where there were none.
    assert (values[0, :4] > 0).all()
    assert (values[0, 4:6] < 0).all()


@pytest.mark.parametrize("format", ["overlay", "heatmap"])
async def test_a_picture_of_a_signal_is_refused(serving: Client, format: str) -> None:
    async with serving() as http:
        refused = await http.post(f"/cam?model=bases&format={format}", content=text("cgcgaaac"), headers=JSON)
    assert (refused.status_code, refused.json()["code"]) == (422, "no_picture")
    assert "format=raw" in refused.json()["error"]


async def test_the_models_page_says_what_it_takes(serving: Client) -> None:
    async with serving() as http:
        takes = (await http.get("/models/bases")).json()["input"]
    assert (takes["kind"], takes["channels"], takes["letters"]) == ("signal", 4, "acgt")
    assert (takes["height"], takes["width"]) == (1, 8)


def test_the_description_survives_the_way_to_rdf_and_back(tmp_path: Path) -> None:
    spec = tiny.bases(tmp_path).spec
    document = to_rdf(spec)
    assert from_rdf(document) == spec
    (tensor,) = document["inputs"]
    assert [axis.get("channel_names", axis.get("size")) for axis in tensor["axes"]] == [
        None,
        ["a", "c", "g", "t"],
        1,
        8,
    ]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"size": (2, 8)}, r"a signal's size is \(1, samples\)"),
        ({"letters": "acga"}, "not 4 different ones"),
        ({"kind": "image"}, "an image has 1 or 3 channels"),
    ],
)
def test_a_description_of_a_signal_is_consistent(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    usual = {"kind": "signal", "channels": 4, "letters": "acgt", "size": (1, 8), "steps": []}
    with pytest.raises(ValueError, match=says):
        tiny.bases(tmp_path, input={**usual, **change})
