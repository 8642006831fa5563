"""Tests of the protocol's routes: against networks whose answers are known, and against /predict and /segment."""

import io
import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from service.encode.png_writer import png
from service.http.openinference.schemas import InferResponse
from tests.conftest import Client
from tests.service.http.openinference.requests import (
    INFER,
    LENGTH,
    PROBABILITIES,
    ask,
    binary,
    elements,
    expected,
    images,
    numbers,
    outputs_of,
    prepared,
    tensor,
)
from tests.service.image_files import BLOBS, form, grey

pytestmark = pytest.mark.anyio
BLOBS_INFER = "/v2/models/blobs/infer"


NESTED = prepared(0.8, 0.1).tolist()


@pytest.mark.parametrize("data", [prepared(0.8, 0.1).ravel().tolist(), NESTED], ids=["flat", "nested"])
async def test_a_tensor_in_json_gives_the_probabilities_of_the_formula(serving: Client, data: list[float]) -> None:
    async with serving() as http:
        answer = await http.post(INFER, json=ask(tensor(prepared(0.8, 0.1), data=data), PROBABILITIES))
    assert numbers(answer) == pytest.approx(expected(0.8, 0.1), abs=1e-6)
    assert answer.headers["Content-Type"] == "application/json"
    InferResponse.model_validate(answer.json())


async def test_binary_tensors_give_the_bits_that_json_gives(serving: Client) -> None:
    values = np.random.default_rng(0).random((3, 1, 8, 8), np.float32)
    async with serving() as http:
        plain = await http.post(INFER, json=ask(tensor(values)))
        for begin in range(4):  # wherever the JSON ends
            asked = ask(tensor(values), id="x" * begin, parameters={"binary_data_output": True})
            body, headers = binary(asked, values.tobytes())
            answer = await http.post(INFER, content=body, headers=headers)
            document, found = outputs_of(answer.content, answer.headers[LENGTH])
            assert answer.headers["Content-Type"] == "application/octet-stream"
            assert document["id"] == "x" * begin
            for name in ("probabilities", "cam"):
                assert found[name] == numbers(plain, name).tobytes()


async def test_image_files_get_what_predict_gives(serving: Client) -> None:
    files = [grey(204), grey(9, height=20, width=30), png(BLOBS)]
    async with serving() as http:
        body, headers = binary(ask(images(*files), PROBABILITIES), elements(*files))
        answers = [
            await http.post(INFER, json=ask(images(*files), PROBABILITIES)),
            await http.post(INFER, json=ask(images(*files, shape=[3, 1]), PROBABILITIES)),
            await http.post(INFER, content=body, headers=headers),
        ]
        predicted = (await http.post("/predict", files=form(*files))).json()
    results = [{known["label"]: known["probability"] for known in each["classes"]} for each in predicted["results"]]
    wanted = np.array([[result[label] for label in ("dark", "bright", "neither")] for result in results])
    for answer in answers:
        assert numbers(answer) == pytest.approx(wanted, abs=1e-7)
        assert answer.json()["parameters"] == {"sha256": predicted["model"]["sha256"], "warnings": "constant_image"}


@pytest.mark.parametrize("tile_px", [64, 1024])
async def test_a_segmenters_tensor_has_any_size_and_so_has_its_answer(serving: Client, tile_px: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (70, 131)).astype(np.uint8)
    values = pixels[None, None].astype(np.float32)
    async with serving(tile_px=tile_px) as http:
        body, headers = binary(ask(tensor(values), parameters={"binary_data_output": True}), values.tobytes())
        by_tensor = await http.post(BLOBS_INFER, content=body, headers=headers)
        by_file = await http.post(BLOBS_INFER, json=ask(images(png(pixels)), parameters={"binary_data_output": True}))
        data = {"model": "blobs", "format": "probabilities"}
        segmented = np.load(io.BytesIO((await http.post("/segment", files=form(png(pixels)), data=data)).content))
    for answer in (by_tensor, by_file):
        document, found = outputs_of(answer.content, answer.headers[LENGTH])
        assert document["outputs"][0]["shape"] == [1, 2, 70, 131]
        maps = np.frombuffer(found["probabilities"], np.float32).reshape(2, 70, 131)
        assert (maps[:1] == segmented).all()
        assert maps[1] == pytest.approx(1 / (1 + np.exp(191.5 - pixels)), abs=1e-6)  # the auxiliary channel


async def test_fields_that_clients_add_are_ignored_and_the_request_id_is_answered(serving: Client) -> None:
    asked = ask(tensor(prepared(0.8)), id="case-7", model_name="brightness", parameters={"sequence_id": 0, "own": "x"})
    async with serving() as http:
        answer = await http.post(INFER, json=asked, headers={"X-Request-ID": "case-8"})
        without = await http.post(INFER, json=ask(tensor(prepared(0.8))))
    assert (answer.json()["id"], answer.headers["X-Request-ID"]) == ("case-7", "case-8")
    assert "id" not in without.json()
    assert (answer.json()["model_name"], answer.json()["model_version"]) == ("brightness", "1.0")


async def test_the_audit_log_has_the_digest_of_each_tensor_and_file(serving: Client, tmp_path: Path) -> None:
    values, files = prepared(0.8, 0.1), [grey(204), grey(20)]
    async with serving(audit=str(tmp_path / "audit")) as http:
        await http.post(INFER, json=ask(tensor(values)))
        await http.post(INFER, json=ask(images(*files)))
    lines = [json.loads(line) for line in (tmp_path / "audit").read_text().splitlines()]
    by_tensor, by_file = [line["inputs"] for line in lines if "inputs" in line]
    assert by_tensor == [sha256(each.tobytes()).hexdigest() for each in values]
    assert by_file == [sha256(file).hexdigest() for file in files]


async def test_a_service_without_its_wanted_model_is_alive_and_not_ready(serving: Client) -> None:
    async with serving(wanted="absent") as http:
        live, ready = [await http.get(f"/v2/health/{what}") for what in ("live", "ready")]
    assert (live.status_code, ready.status_code, ready.json()["code"]) == (200, 503, "not_ready")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v2/models/nothing", 404, "unknown_model"),
        ("GET", "/v2/models/nothing/stats", 404, "unknown_model"),
        ("POST", "/v2/models/nothing/infer", 404, "unknown_model"),
        ("GET", "/v2/models/blobs/versions/9.9/ready", 404, "unknown_version"),
        ("POST", "/v2/models/blobs/versions/..%2f..%2fetc/infer", 404, "no_such_route"),
        ("GET", "/v2/models/blobs/infer", 405, "method_not_allowed"),
        ("GET", "/v2/nothing", 404, "no_such_route"),
    ],
)
async def test_what_is_not_there(serving: Client, method: str, path: str, status: int, code: str) -> None:
    async with serving() as http:
        answer = await http.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
