"""Tests of inference responses: outputs as JSON or as binary data, and the most probable classes."""

import httpx
import numpy as np
import pytest

from service.encode.png_writer import png
from tests import tiny
from tests.conftest import Client
from tests.service.http.openinference.requests import (
    INFER,
    LENGTH,
    ask,
    elements,
    images,
    numbers,
    output,
    outputs_of,
    prepared,
    tensor,
)

pytestmark = pytest.mark.anyio


async def test_all_outputs_are_answered_unless_some_are_named(serving: Client) -> None:
    halves = np.zeros((1, 1, 8, 8), np.float32)
    halves[:, :, :4] = 1
    async with serving() as http:
        every = await http.post(INFER, json=ask(tensor(halves)))
        one = await http.post(INFER, json=ask(tensor(halves), output("cam")))
    assert [each["name"] for each in every.json()["outputs"]] == ["probabilities", "cam"]
    assert [each["name"] for each in one.json()["outputs"]] == ["cam"]
    assert (numbers(one, "cam") == numbers(every, "cam")).all()
    assert numbers(one, "cam")[0, 1, 0] == pytest.approx(4.0)  # "bright" above, where it is bright
    assert numbers(one, "cam")[0, 1, -1] == pytest.approx(0.0)


@pytest.mark.parametrize(("top", "texts"), [(1, 1), (2, 2), (9, 3)])
async def test_classification_gives_value_index_and_label(serving: Client, top: int, texts: int) -> None:
    means = (0.8, 0.1)
    wanted = [
        [f"{p:.6f}:{index}:{label}" for p, index, label in sorted(_named(mean), reverse=True)[:texts]] for mean in means
    ]
    asked = ask(tensor(prepared(*means)), output("probabilities", classification=top))
    async with serving() as http:
        plain = (await http.post(INFER, json=asked)).json()["outputs"][0]
        packed = await http.post(INFER, json={**asked, "parameters": {"binary_data_output": True}})
    assert (plain["datatype"], plain["shape"]) == ("BYTES", [2, texts])
    assert np.reshape(plain["data"], (2, texts)).tolist() == wanted
    _, found = outputs_of(packed.content, packed.headers[LENGTH])
    assert found["probabilities"] == elements(*(text.encode() for text in plain["data"]))


def _named(mean: float) -> list[tuple[float, int, str]]:
    return [(p, index, label) for index, (label, p) in enumerate(tiny.brightness_of(mean).items())]


async def test_an_output_says_itself_whether_it_is_binary(serving: Client) -> None:
    outputs = [output("cam"), output("probabilities", binary_data=False)]
    async with serving() as http:
        asked = ask(tensor(prepared(0.8)), *outputs, parameters={"binary_data_output": True})
        answer = await http.post(INFER, json=asked)
    text = answer.content[: int(answer.headers[LENGTH])]
    cam, probabilities = httpx.Response(200, content=text).json()["outputs"]
    assert cam["parameters"] == {"binary_data_size": 4 * 3 * 4 * 4}
    assert "data" in probabilities
    assert len(answer.content) == len(text) + 4 * 3 * 4 * 4


async def test_an_answer_too_large_for_json_is_given_as_binary_data(serving: Client) -> None:
    large = png(np.zeros((1500, 1500), np.uint8))  # 4.5 million numbers
    async with serving() as http:
        refused = await http.post("/v2/models/blobs/infer", json=ask(images(large)))
        asked = ask(images(large), parameters={"binary_data_output": True})
        given = await http.post("/v2/models/blobs/infer", json=asked, headers={"Accept-Encoding": "identity"})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_option")
    assert len(given.content) - int(given.headers[LENGTH]) == 4 * 2 * 1500 * 1500
