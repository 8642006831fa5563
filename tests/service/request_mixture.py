"""A mixture of requests, good and bad, each of which must be answered among many others as it is alone."""

import asyncio
import io
import json
import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import imagecodecs
import numpy as np

from models.image import Array
from service.encode.png_writer import png
from tests.service.image_files import form, grey, jpeg, png_claiming, tiff

CALLERS = 64
BAD_SHARE = 0.1
TOLERANCE = 1e-5
_OWN = {"request_id", "timings_ms", "x-striate-timings-ms"}  # what differs between two answers to one request


@dataclass(frozen=True)
class Question:
    """A request, and the status and error code that its answer must have."""

    path: str
    images: tuple[bytes, ...]
    options: dict[str, str] = field(default_factory=dict)
    status: int = 200
    code: str = ""


def squares(height: int, width: int, *, seed: int) -> Array:
    """(height, width) uint8: dark, with squares of 8 pixels that are bright and may touch."""
    bright = np.random.default_rng(seed).random((-(-height // 8), -(-width // 8))) < 0.3
    return np.kron(bright, np.full((8, 8), 250, np.uint8))[:height, :width].astype(np.uint8)


def coloured(height: int, width: int) -> Array:
    """(height, width, 3) uint8: red squares, green squares, black."""
    red, green = squares(height, width, seed=1), squares(height, width, seed=2)
    return np.stack([red, green, np.zeros_like(red)], axis=2)


RAMP = np.arange(33 * 70, dtype=np.uint16).reshape(33, 70) * 20
PLAIN = [
    *(grey(9), grey(60), grey(130, height=7, width=5), grey(250, height=333, width=500)),
    *(png(squares(40, 64, seed=3)), tiff(RAMP), jpeg(coloured(30, 41))),
]
SHEETS = [squares(10, 13, seed=4), squares(64, 64, seed=5), squares(131, 200, seed=6), squares(300, 70, seed=7)]
BLOBS, TISSUE = {"model": "blobs"}, {"model": "tissue"}
GOOD = [
    *(Question("/predict", (image,)) for image in PLAIN),
    Question("/predict", (PLAIN[1],), {"top_k": "1"}),
    Question("/predict", tuple(PLAIN)),
    Question("/predict", (PLAIN[0], b"nothing", grey(1, height=2, width=2), PLAIN[2])),  # two fail by themselves
    *(Question("/cam", (image,), {"format": kind}) for image in PLAIN[2:5] for kind in ("raw", "overlay", "heatmap")),
    Question("/cam", (PLAIN[4],), {"format": "raw", "label": "dark"}),
    *(
        Question("/segment", (png(sheet),), {**BLOBS, "format": kind})
        for sheet in SHEETS
        for kind in ("labels", "overlay", "probabilities", "measurements")
    ),
    *(
        Question("/segment", (png(coloured(70, 90)),), {**TISSUE, "format": kind})
        for kind in ("labels", "measurements")
    ),
]
BAD = [
    Question("/predict", (b"nothing",), status=415, code="not_an_image"),
    Question("/segment", (png(SHEETS[2])[:-100],), BLOBS, 422, "damaged_image"),
    Question("/cam", (grey(1, height=2, width=3),), status=422, code="image_too_small"),
    Question("/predict", (png_claiming(90_000, 90_000),), status=413, code="too_many_pixels"),
    Question("/cam", (PLAIN[0],), {"label": "nobody"}, 422, "unknown_label"),
    Question("/segment", (PLAIN[0],), {"model": "brightness"}, 422, "wrong_task"),
    Question("/predict", (PLAIN[0],), {"model": "nobody"}, 404, "unknown_model"),
    Question("/predict", (PLAIN[0],), {"top_k": "none"}, 422, "invalid_option"),
]


async def ask(http: httpx.AsyncClient, question: Question, *, name: str) -> dict[str, Any]:
    """The answer: its status, its headers of ours and what its body says, without what no two answers share."""
    response = await http.post(
        question.path, files=form(*question.images), data=question.options, headers={"X-Request-ID": name}
    )
    assert response.headers["X-Request-ID"] == name
    facts = {key: value for key, value in response.headers.items() if key.startswith("x-striate-") and key not in _OWN}
    chance = float(facts.pop("x-striate-probability", "nan"))
    return {"status": response.status_code, "chance": chance, **facts, "body": _read(response)}


def _read(response: httpx.Response) -> Any:
    match response.headers["Content-Type"]:
        case "application/json":
            return _shared(json.loads(response.content))
        case "application/x-npy":
            return np.load(io.BytesIO(response.content))
        case "image/png":
            return imagecodecs.png_decode(response.content)
    raise AssertionError(response.headers["Content-Type"])


def _shared(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shared(inner) for key, inner in value.items() if key not in _OWN}
    return [_shared(inner) for inner in value] if isinstance(value, list) else value


def same(found: Any, alone: Any) -> bool:
    """Whether two answers say the same: real numbers to TOLERANCE, everything else exactly."""
    if type(found) is not type(alone):
        return False
    if isinstance(alone, dict):
        return found.keys() == alone.keys() and all(same(found[key], alone[key]) for key in alone)
    if isinstance(alone, list):
        return len(found) == len(alone) and all(map(same, found, alone))
    if isinstance(alone, np.ndarray):
        close = TOLERANCE if alone.dtype.kind == "f" else 0
        equal_kind = (found.shape, found.dtype) == (alone.shape, alone.dtype)
        return equal_kind and bool(np.allclose(found, alone, rtol=0, atol=close))
    if isinstance(alone, float):
        return math.isclose(found, alone, rel_tol=0, abs_tol=TOLERANCE) or (math.isnan(found) and math.isnan(alone))
    return bool(found == alone)


async def converse(
    http: httpx.AsyncClient, *, seconds: float, good: Sequence[Question] = GOOD, bad: Sequence[Question] = BAD
) -> int:
    """Asks each question alone, then CALLERS ask at once for so long. Returns how many were answered, all rightly."""
    alone = {id(question): await ask(http, question, name="alone") for question in (*good, *bad)}
    for question in (*good, *bad):
        answer = alone[id(question)]
        assert (answer["status"], answer.get("x-striate-error", "")) == (question.status, question.code)
    until = time.monotonic() + seconds

    async def caller(number: int) -> int:
        chance, asked = random.Random(number), 0
        while time.monotonic() < until:
            question = chance.choice(bad if chance.random() < BAD_SHARE else good)
            answer = await ask(http, question, name=f"{number}.{asked}")
            assert same(answer, alone[id(question)]), (question.path, question.options, answer, alone[id(question)])
            asked += 1
        return asked

    async with asyncio.timeout(seconds + 180):  # whoever is not answered by then hangs
        return sum(await asyncio.gather(*map(caller, range(CALLERS))))
