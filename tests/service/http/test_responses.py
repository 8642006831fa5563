"""Tests of responses: JSON, and pictures with the same facts in their headers."""

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from service.http.responses import MemoryMiddleware, header_value, packaged
from service.scheduling.memory_budget import MemoryBudget
from service.scheduling.work import Reservation
from tests import tiny
from tests.conftest import Client
from tests.service.image_files import form, grey, jpeg

pytestmark = pytest.mark.anyio
MIB = 2**20


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


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Dark, 50 px; a=b", "Dark, 50 px; a=b"),
        ("100 %", "100 %25"),
        ("Ödem", "%C3%96dem"),
        ("a\r\nSet-Cookie: b", "a%0D%0ASet-Cookie: b"),
    ],
)
def test_a_header_value_is_visible_ascii(text: str, value: str) -> None:
    assert header_value(text) == value
    assert unquote(value) == text


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sample.png", "image/png"),
        ("README.md", "text/markdown; charset=utf-8"),
        ("report.html", "application/octet-stream"),  # a browser must not run what a package brings
        ("png", "application/octet-stream"),
    ],
)
def test_a_file_of_a_package_is_a_picture_a_text_or_plain_bytes(name: str, kind: str) -> None:
    answer = packaged(name, b"content")
    assert (answer.body, answer.headers["Content-Type"]) == (b"content", kind)


class Caller:
    """Takes an answer piece by piece; `budget` shows what is reserved meanwhile."""

    def __init__(self, budget: MemoryBudget, *, leaves: bool = False) -> None:
        self.status, self.body, self.reserved = 0, b"", -1
        self._budget, self._leaves = budget, leaves

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        self.reserved = self._budget.reserved_bytes
        if self._leaves:
            raise asyncio.CancelledError
        self.body += message["body"]


async def answered(budget: MemoryBudget, nbytes: int, *, body_bytes: int = 0, leaves: bool = False) -> Caller:
    """Sends an answer of so many bytes to a request of so many."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["reservation"].reserve_body(body_bytes)
        await Response(bytes(nbytes))(scope, receive, send)

    caller = Caller(budget, leaves=leaves)
    with suppress(asyncio.CancelledError):
        await MemoryMiddleware(app, memory=budget, timeout_s=10)({"type": "http"}, receive_nothing, caller.send)
    assert budget.reserved_bytes == budget.small_bytes == 0
    return caller


async def receive_nothing() -> Message:
    raise AssertionError


@pytest.mark.parametrize("leaves", [False, True])
async def test_an_answer_is_reserved_beside_the_body_until_it_has_been_sent(leaves: bool) -> None:
    caller = await answered(MemoryBudget(8 * MIB), 4 * MIB, body_bytes=3 * MIB, leaves=leaves)
    assert (caller.status, len(caller.body), caller.reserved) == (200, 0 if leaves else 4 * MIB, 7 * MIB)


async def test_an_answer_without_room_is_replaced_by_an_error() -> None:
    budget = MemoryBudget(8 * MIB)
    assert (await answered(budget, 9 * MIB)).status == 413
    assert b"answer_too_large" in (await answered(budget, 5 * MIB, body_bytes=4 * MIB)).body
    with Reservation(budget) as other:
        other.reserve_body(6 * MIB)
        refused = MemoryMiddleware(lambda *asgi: Response(bytes(3 * MIB))(*asgi), memory=budget, timeout_s=0.1)
        caller = Caller(budget)
        await refused({"type": "http"}, receive_nothing, caller.send)
        assert (caller.status, b"memory_full" in caller.body) == (503, True)
        assert budget.reserved_bytes == 6 * MIB
    assert (await answered(budget, 8 * MIB)).status == 200
