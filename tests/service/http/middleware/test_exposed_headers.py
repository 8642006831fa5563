"""Tests of the headers that a page of another origin may read and send."""

import shutil
from pathlib import Path

import httpx
import pytest

from service.http.middleware.browser_security import EXPOSED_HEADERS, SECURITY_HEADERS, SENT_HEADERS
from service.security.api_keys import new_key
from service.tasks import activations, cam, segmentation
from tests import tiny
from tests.conftest import Client
from tests.service.http.openinference.requests import INFER, ask, images
from tests.service.image_files import form, grey
from tests.serving import ROOT

pytestmark = pytest.mark.anyio
PAGE = "https://viewer.example.org"
SAFELISTED = {"cache-control", "content-length", "content-type"}  # of those that every page may read
OF_THE_BROWSER = {"vary", "content-encoding", "access-control-allow-origin", "access-control-expose-headers"}


@pytest.fixture
def models(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "models/starter/digits", tmp_path / "models/digits")
    tiny.blobs(tmp_path / "models")
    tiny.brightness(tmp_path / "models")
    tiny.tissue(tmp_path / "models")
    return tmp_path / "models"


async def answers(http: httpx.AsyncClient, key: str, slow: str) -> list[httpx.Response]:
    """Of every route that has headers of its own, in every format, and of every error that has some."""
    sent = {"Origin": PAGE, "X-API-Key": key}
    posts = [
        *[("/cam", {"model": "digits", "format": format}) for format in cam.FORMATS],
        *[("/activations", {"model": "digits", "format": format}) for format in activations.FORMATS],
        *[("/segment", {"model": "blobs", "format": format}) for format in (*segmentation.FORMATS, "measurements")],
        ("/segment", {"model": "tissue"}), ("/predict", {"model": "digits"}), ("/predict", {"model": "nobody"}),
    ]  # fmt: skip
    binary = ask(images(grey(9)), parameters={"binary_data_output": True})
    file = "/models/digits/files/README.md"
    gets = ["/", "/models", "/models/digits", file, "/v2/models/digits", "/livez", "/predict"]
    return [
        *[await http.post(path, files=form(grey(9)), data=fields, headers=sent) for path, fields in posts],
        await http.post(INFER, json=binary, headers=sent),
        await http.post(INFER, json=ask(images(grey(9))), headers=sent),
        *[await http.get(path, headers=sent) for path in gets],
        *[await http.get("/models/digits/filters", params={"format": f}, headers=sent) for f in ("picture", "raw")],
        await http.get("/models", headers={"Origin": PAGE}),
        *[await http.get("/models", headers={"Origin": PAGE, "X-API-Key": slow}) for _ in range(2)],
    ]


async def test_a_page_may_read_exactly_the_headers_that_answers_have(
    serving: Client, models: Path, tmp_path: Path
) -> None:
    (key, lines), (slow, slow_lines) = new_key("page", ["infer"]), new_key("slow", ["infer"], rate_per_s=0.001)
    (tmp_path / "keys.toml").write_text(lines + slow_lines + "burst = 1\n")
    async with serving(models=models, keys=str(tmp_path / "keys.toml"), cors_origins=(PAGE,)) as http:
        got = await answers(http, key, slow)
    assert {answer.status_code for answer in got} == {200, 401, 404, 405, 429}
    found = {name.lower() for answer in got for name in answer.headers}
    others = {*SAFELISTED, *OF_THE_BROWSER, *(name.decode() for name, _ in SECURITY_HEADERS)}
    assert found - others == {name.lower() for name in EXPOSED_HEADERS}
    for answer in got:
        assert answer.headers["access-control-expose-headers"] == ", ".join(EXPOSED_HEADERS)
        assert answer.headers["access-control-allow-origin"] == PAGE


async def test_a_page_may_send_the_headers_that_requests_have(serving: Client) -> None:
    asked = {
        "Origin": PAGE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": ",".join(sorted(name.lower() for name in SENT_HEADERS)),
        "Access-Control-Request-Private-Network": "true",
    }
    async with serving(cors_origins=(PAGE,)) as http:
        allowed = await http.options("/predict", headers=asked)
        other = await http.options("/predict", headers={**asked, "Origin": "https://evil.example"})
        more = await http.options("/predict", headers={**asked, "Access-Control-Request-Headers": "x-other"})
    assert (allowed.status_code, allowed.headers["access-control-allow-private-network"]) == (200, "true")
    assert {name.lower() for name in SENT_HEADERS} <= set(
        allowed.headers["access-control-allow-headers"].lower().split(", ")
    )
    assert [(each.status_code, each.json()["code"]) for each in (other, more)] == [(403, "cross_origin")] * 2
    assert "access-control-allow-origin" not in other.headers
