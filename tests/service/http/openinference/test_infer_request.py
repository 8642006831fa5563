"""Tests of inference requests: what is read from them, and what is wrong with those that are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from models import package as packages
from service.http.openinference.infer_request import ParsedInferRequest, RequestedOutput, parse_infer_request
from service.scheduling.work import Priority
from service.settings import Settings
from tests.conftest import Client
from tests.service.http.openinference.requests import ask, images, output, prepared, tensor
from tests.service.image_files import grey, png_claiming

pytestmark = pytest.mark.anyio
GOOD = prepared(0.8)

BAD_JSON: dict[str, tuple[Any, int, str, str]] = {
    "no object": ([], 400, "malformed_request", "no JSON object"),
    "no input": ({}, 400, "malformed_request", "it has 0"),
    "two inputs": ({"inputs": [tensor(GOOD), tensor(GOOD)]}, 400, "malformed_request", "it has 2"),
    "an input that is no object": ({"inputs": ["image"]}, 400, "malformed_request", "'inputs' must hold"),
    "inputs that are no list": ({"inputs": {"image": 1}}, 400, "malformed_request", "it must be a list"),
    "an unknown input": (ask(tensor(GOOD, name="x")), 422, "unknown_tensor", "'image', 'image_bytes'"),
    "a name that is no text": (ask(tensor(GOOD, name=7)), 400, "malformed_request", "it must be text"),
    "an unknown output": (ask(tensor(GOOD), output("logits")), 422, "unknown_tensor", "'probabilities', 'cam'"),
    "an output twice": (ask(tensor(GOOD), output("cam"), output("cam")), 400, "malformed_request", "twice"),
    "an output that is no object": (ask(tensor(GOOD), outputs=["cam"]), 400, "malformed_request", "with a 'name'"),
    "the wrong datatype": (ask(tensor(GOOD, datatype="FP64")), 422, "bad_tensor", "it must be 'FP32'"),
    "no datatype": (ask(tensor(GOOD, datatype=None)), 422, "bad_tensor", "is None; it"),
    "channels last": (ask(tensor(GOOD, shape=[1, 8, 8, 1])), 422, "bad_tensor", "takes [N, 1, 8, 8]"),
    "no batch axis": (ask(tensor(GOOD, shape=[1, 8, 8])), 422, "bad_tensor", "takes [N, 1, 8, 8]"),
    "five axes": (ask(tensor(GOOD, shape=[1, 1, 1, 8, 8])), 422, "bad_tensor", "1 to 4 numbers"),
    "no shape": (ask(tensor(GOOD, shape=None)), 422, "bad_tensor", "1 to 4 numbers"),
    "an empty batch": (ask(tensor(GOOD, shape=[0, 1, 8, 8])), 422, "bad_tensor", "each at least 1"),
    "a negative side": (ask(tensor(GOOD, shape=[-1, 1, 8, 8])), 422, "bad_tensor", "each at least 1"),
    "a side that is no whole number": (ask(tensor(GOOD, shape=[1.0, 1, 8, 8])), 422, "bad_tensor", "1 to 4 numbers"),
    "a side that is true": (ask(tensor(GOOD, shape=[True, 1, 8, 8])), 422, "bad_tensor", "1 to 4 numbers"),
    "a batch that overflows": (ask(tensor(GOOD, shape=[2**62, 1, 8, 8])), 413, "too_many_images", "at most 64"),
    "too many images": (ask(tensor(GOOD, shape=[65, 1, 8, 8])), 413, "too_many_images", "65"),
    "too few numbers": (ask(tensor(GOOD, data=[0.5] * 63)), 422, "bad_tensor", "its data 63"),
    "too many numbers": (ask(tensor(GOOD, data=[0.5] * 65)), 422, "bad_tensor", "its data 65"),
    "text for numbers": (ask(tensor(GOOD, data=["0.5"] * 64)), 422, "bad_tensor", "must be numbers"),
    "null for numbers": (ask(tensor(GOOD, data=[None] * 64)), 422, "bad_tensor", "must be numbers"),
    "a number for a list": (ask(tensor(GOOD, data=7)), 400, "malformed_request", "it must be a list"),
    "nested otherwise": (ask(tensor(GOOD, data=[[[[0.5]] * 8] * 8])), 422, "bad_tensor", "nested data"),
    "ragged": (ask(tensor(GOOD, data=[[[[0.5] * 8] * 7 + [[0.5] * 7]]])), 422, "bad_tensor", "nested data"),
    "nested in part": (ask(tensor(GOOD, data=[[[[0.5] * 8] * 7 + [0.5]]])), 422, "bad_tensor", "nested data"),
    "numbers beyond single precision": (ask(tensor(GOOD, data=[1e300] * 64)), 422, "not_finite", "64"),
    "no data": (ask(tensor(GOOD, data=None)), 422, "bad_tensor", "'binary_data_size'"),
    "data of both kinds": (
        ask(tensor(GOOD, parameters={"binary_data_size": 256})), 422, "bad_tensor", "either in 'data' or",
    ),
    "parameters that are no object": (ask(tensor(GOOD), parameters=3), 400, "malformed_request", "an object"),
    "a flag that is no flag": (
        ask(tensor(GOOD), parameters={"binary_data_output": "yes"}), 422, "invalid_option", "true or false",
    ),
    "a negative timeout": (ask(tensor(GOOD), parameters={"timeout": -1}), 422, "invalid_option", "0 or more"),
    "a timeout in text": (ask(tensor(GOOD), parameters={"timeout": "1s"}), 400, "malformed_request", "whole number"),
    "a priority that is none": (ask(tensor(GOOD), parameters={"priority": -2}), 422, "invalid_option", "0 or more"),
    "no class": (ask(tensor(GOOD), output("probabilities", classification=0)), 422, "invalid_option", "from 1 up"),
    "classes of a map": (ask(tensor(GOOD), output("cam", classification=1)), 422, "invalid_option", "from 1 up"),
    "an id that is no text": (ask(tensor(GOOD), id=7), 400, "malformed_request", "it must be text"),
    "an id without an end": (ask(tensor(GOOD), id="a" * 1001), 400, "malformed_request", "has 1,001 characters"),
    "what is no base64": (ask(images(grey(0), data=["%%%"])), 422, "bad_tensor", "base64"),
    "base64 that is no ASCII": (ask(images(grey(0), data=["ä"])), 422, "bad_tensor", "base64"),
    "a file that is no text": (ask(images(grey(0), data=[7])), 422, "bad_tensor", "as a string"),
    "fewer files than said": (ask(images(grey(0), shape=[2])), 422, "bad_tensor", "says 2 elements"),
    "files in two columns": (ask(images(grey(0), grey(1), shape=[1, 2])), 422, "bad_tensor", "[N] or [N, 1]"),
    "too many files": (ask(images(grey(0), shape=[65])), 413, "too_many_images", "65"),
    "a file that is no image": (ask(images(b"%PDF-1.7")), 415, "not_an_image", "25 50 44 46"),
    "an empty file": (ask(images(b"")), 415, "not_an_image", "is empty"),
    "a bad file among good ones": (ask(images(grey(0), grey(1)[:-20], grey(2))), 422, "damaged_image", "PNG"),
    "a bomb": (ask(images(png_claiming(50_000, 50_000))), 413, "too_many_pixels", "2,500,000,000"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_JSON)
async def test_a_bad_request_says_what_is_wrong_and_the_next_is_answered(serving: Client, case: str) -> None:
    asked, status, code, says = BAD_JSON[case]
    async with serving() as http:
        refused = await http.post("/v2/models/brightness/infer", json=asked)
        after = await http.post("/v2/models/brightness/infer", json=ask(tensor(GOOD)))
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert says in refused.json()["error"]
    assert set(refused.json()) == {"error", "code"}
    assert after.status_code == 200


SEGMENTER: dict[str, tuple[Any, int, str, str]] = {
    "sides that overflow": (
        ask(tensor(GOOD, shape=[1, 1, 2**40, 2**40])), 413, "too_many_pixels", "1099511627776 x 1099511627776",
    ),
    "smaller than the network takes": (
        ask(tensor(np.zeros((1, 1, 3, 30), np.float32))), 422, "image_too_small", "30 x 3",
    ),
    "files of two sizes": (ask(images(grey(0), grey(0, width=9))), 422, "bad_tensor", "8 x 8, 8 x 9"),
    "more pixels together than one may have": (ask(images(grey(0, width=40), grey(0))), 413, "too_many_pixels", "250"),
    "classes of a segmentation": (
        ask(tensor(GOOD), output("probabilities", classification=1)), 422, "invalid_option", "of a classifier",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SEGMENTER)
async def test_a_segmenter_refuses_what_it_cannot_answer(serving: Client, case: str) -> None:
    asked, status, code, says = SEGMENTER[case]
    async with serving(max_pixels=500) as http:
        refused = await http.post("/v2/models/blobs/infer", json=asked)
    assert (refused.status_code, refused.json()["code"]) == (status, code), refused.text
    assert says in refused.json()["error"]


@pytest.mark.parametrize(
    ("count", "sent", "priority"),
    [
        (1, {}, Priority.INTERACTIVE),
        (1, {"priority": 0}, Priority.INTERACTIVE),
        (1, {"priority": 1}, Priority.INTERACTIVE),
        (1, {"priority": 2}, Priority.BULK),
        (2, {"priority": 1}, Priority.BULK),
    ],
)
async def test_many_images_and_low_priorities_go_after_one(
    root: Path, count: int, sent: dict[str, int], priority: Priority
) -> None:
    spec = packages.read(root / "brightness" / "1.0").spec
    body = orjson.dumps(ask(tensor(prepared(*[0.5] * count)), parameters=sent))
    assert parse_infer_request(body, None, spec, Settings(), reserve=print).priority is priority


def parsed(root: Path, asked: dict[str, Any]) -> ParsedInferRequest:
    spec = packages.read(root / "brightness" / "1.0").spec
    return parse_infer_request(orjson.dumps(asked), None, spec, Settings(), reserve=print)


def test_a_request_says_which_outputs_how_soon_and_under_which_id(root: Path) -> None:
    plain = parsed(root, ask(tensor(GOOD)))
    assert (plain.id, plain.timeout_s) == (None, None)
    assert plain.outputs == (RequestedOutput("probabilities", binary=False), RequestedOutput("cam", binary=False))
    assert [image.shape for image in plain.images] == [(1, 8, 8)]
    outputs = [output("cam"), output("probabilities", classification=2, binary_data=False)]
    asked = ask(tensor(GOOD), *outputs, id="ä" * 1000, parameters={"timeout": 1_500_000, "binary_data_output": True})
    told = parsed(root, asked)
    assert (told.id, told.timeout_s) == ("ä" * 1000, 1.5)
    assert told.outputs == (RequestedOutput("cam", binary=True), RequestedOutput("probabilities", False, top=2))


def test_a_timeout_of_0_is_none(root: Path) -> None:
    assert parsed(root, ask(tensor(GOOD), parameters={"timeout": 0})).timeout_s is None


def test_files_are_read_as_they_were_sent(root: Path) -> None:
    assert parsed(root, ask(images(grey(1), b"no image"))).images == (grey(1), b"no image")
