"""Tests of the audit middleware: the content of a line, and responses withheld without one."""

import asyncio
import errno
import json
import os
import re
from hashlib import sha256
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from service.http.middleware import open_audit_log
from service.http.middleware.access_log import RequestContext
from service.http.middleware.auditing import AuditMiddleware
from service.security import audit_log
from service.security.api_keys import new_key
from service.security.audit_chain import GENESIS
from service.security.audit_log import AuditLog
from service.security.audit_verification import verify
from service.settings import InvalidSettings, Settings
from tests.conftest import Client
from tests.service.image_files import form, grey

FILE_BYTES = 2**30


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines()


@pytest.mark.anyio
async def test_a_line_names_the_key_route_model_input_and_output(serving: Client, tmp_path: Path) -> None:
    path, file = tmp_path / "audit.jsonl", tmp_path / "keys.toml"
    key, lines = new_key("viewer", ["infer"])
    file.write_text(lines)
    sent = {"X-API-Key": key, "X-Request-ID": "Erika.Mustermann"}
    async with serving(audit=str(path), keys=str(file)) as http:
        one = await http.post("/predict", files=form(grey(204), name="Mustermann.png"), headers=sent)
        two = await http.post("/predict", files=form(grey(1), b"no image"), headers=sent)
        picture = await http.post("/cam", files=form(grey(204)), headers=sent)
        wrong = await http.post("/predict", files=form(grey(1)), data={"model": "Mustermann"}, headers=sent)
        unrouted = await http.post("/Mustermann", headers=sent)
        await http.post("/predict", files=form(grey(1)))  # no key: no line, or strangers could fill the disk
        models = await http.get("/models", headers=sent)
    facts = [json.loads(line) for line in lines_of(path)]
    sha = models.json()["models"][1]["sha256"]
    assert verify(path).number == 5
    responses = [one, two, picture, wrong, unrouted]
    assert [line["status"] for line in facts] == [200, 200, 200, 404, 404] == [each.status_code for each in responses]
    assert [line["output"] for line in facts] == [sha256(each.content).hexdigest() for each in responses]
    assert [line["route"] for line in facts] == ["/predict", "/predict", "/cam", "/predict", "other"]
    assert [line["model"] for line in facts] == [sha, sha, sha, None, None]
    inputs = [[grey(204)], [grey(1), b"no image"], [grey(204)], [], []]
    assert [line["inputs"] for line in facts] == [[sha256(image).hexdigest() for image in each] for each in inputs]
    assert one.json()["input"]["sha256"] == facts[0]["inputs"][0]
    assert {line["key"] for line in facts} == {"viewer"}
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", facts[0]["time"])
    assert b"Mustermann" not in path.read_bytes()


@pytest.mark.anyio
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO, errno.EACCES], ids=os.strerror)
async def test_responses_are_withheld_until_the_log_is_writable_again(
    serving: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path = tmp_path / "audit.jsonl"

    def full(file: int, line: bytes) -> None:
        raise OSError(number, os.strerror(number))

    async with serving(audit=str(path)) as http:
        with monkeypatch.context() as patch:
            patch.setattr(audit_log, "write_all", full)
            withheld = await http.post("/predict", files=form(grey(204)))
            health, ready = await http.get("/livez"), await http.get("/readyz")
            down = (await http.get("/metrics")).text
        ready_again = await http.get("/readyz")
        after = await http.post("/predict", files=form(grey(204)))
        metrics = (await http.get("/metrics")).text
    assert (withheld.status_code, withheld.json()["code"]) == (503, "audit_unavailable")
    assert withheld.headers["Retry-After"] == "5"
    assert "bright" not in withheld.text
    assert (ready.status_code, ready.json()["code"]) == (503, "not_ready")
    assert ready.json()["error"].endswith(f"the audit log cannot be written: {os.strerror(number)}.")
    assert "\nstriate_ready 0.0\n" in down
    assert [each.status_code for each in (health, ready_again, after)] == [200, 200, 200]
    assert verify(path).number == 2
    resumed, _ = map(json.loads, lines_of(path))
    assert resumed["resumed"] is True  # an answer was withheld before this
    assert "\nstriate_ready 1.0\n" in metrics
    assert 'striate_rejections_total{reason="audit_unavailable"} 1.0' in metrics
    assert 'striate_requests_total{route="/predict",status="503"} 1.0' in metrics


def test_an_unwritable_log_aborts_startup(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"STRIATE_AUDIT=.*/missing/audit.jsonl: the file cannot be written"):
        open_audit_log(Settings(audit=str(tmp_path / "missing" / "audit.jsonl")))


async def stream(_: Request) -> Response:
    async def pieces():
        for piece in (b"a", b"b", b"c"):
            yield piece

    return StreamingResponse(pieces())


async def fail(_: Request) -> Response:
    raise LookupError


async def exchange_messages(path: str, log: AuditLog) -> tuple[list[dict], RequestContext]:
    """Returns the ASGI messages that the audited application sends for a POST."""
    routes = [Route("/streamed", stream, methods=["POST"]), Route("/buggy", fail, methods=["POST"])]
    app = AuditMiddleware(Starlette(routes=routes).router, audit_log=log)
    scope = {"type": "http", "method": "POST", "path": path, "headers": [], "context": RequestContext("1")}
    sent: list[dict] = []

    async def send(message: dict) -> None:
        sent.append(dict(message))

    async def receive() -> dict:
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    await app(scope, receive, send)
    return sent, scope["context"]


@pytest.mark.anyio
async def test_a_streamed_response_is_logged_before_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path, file_bytes=FILE_BYTES)
    sent, _ = await exchange_messages("/streamed", log)
    assert b"".join(message.get("body", b"") for message in sent) == b"abc"
    assert json.loads(lines_of(path)[0])["output"] == sha256(b"abc").hexdigest()

    def full(file: int, line: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(audit_log, "write_all", full)
    sent, _ = await exchange_messages("/streamed", log)
    assert [message.get("more_body") for message in sent[1:]] == [True] * 3  # the server notices the missing end
    assert verify(path).number == 1


@pytest.mark.anyio
async def test_an_unhandled_exception_is_logged(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with pytest.raises(LookupError):
        await exchange_messages("/buggy", AuditLog(path, file_bytes=FILE_BYTES))
    assert json.loads(lines_of(path)[0])["status"] == 500
    assert verify(path) != GENESIS
