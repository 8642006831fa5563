"""Tests of browser security: headers of every response, forged POSTs, CORS and preflights."""

from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from service.http.middleware.browser_security import SECURITY_HEADERS, SecurityHeadersMiddleware
from service.security.api_keys import new_key
from service.settings import Settings
from tests.conftest import Client
from tests.service.image_files import form, grey

pytestmark = pytest.mark.anyio
PAGE = "https://viewer.example.org"


async def test_every_response_has_the_headers_and_names_no_server(serving: Client) -> None:
    async with serving() as http:
        answers = [
            *[await http.get(path) for path in ("/livez", "/nowhere", "/predict", "/metrics")],
            await http.post("/predict", files=form(grey(1))), await http.post("/cam", files=form(grey(1))),
            await http.post("/predict", files=form(b"no image")),
        ]  # fmt: skip
    for answer in answers:
        for name, value in SECURITY_HEADERS:
            assert answer.headers[name.decode()] == value.decode()
        assert "server" not in answer.headers
        assert "x-powered-by" not in answer.headers
        assert "access-control-allow-origin" not in answer.headers


async def test_a_page_keeps_its_own_policy_and_gets_the_other_headers() -> None:
    async def page(_: Request) -> Response:
        return HTMLResponse("<p>", headers={"Content-Security-Policy": "default-src 'self'"})

    app = Starlette(routes=[Route("/", page)], middleware=[Middleware(SecurityHeadersMiddleware)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://striate") as http:
        answer = await http.get("/")
    assert answer.headers.get_list("content-security-policy") == ["default-src 'self'"]
    assert answer.headers["x-content-type-options"] == "nosniff"


REQUESTS = {  # headers of a POST -> whether it is rejected
    "curl": ({}, False),
    "the service's own page": ({"Sec-Fetch-Site": "same-origin", "Origin": "http://striate"}, False),
    "a page elsewhere": ({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, True),
    "a neighbouring host": ({"Sec-Fetch-Site": "same-site", "Origin": "http://other.striate"}, True),
    "a page of a sandbox": ({"Origin": "null"}, True),
    "an old browser, elsewhere": ({"Origin": "https://evil.example"}, True),
    "an old browser, the service's own page": ({"Origin": "http://striate"}, False),
    "an allowed page": ({"Sec-Fetch-Site": "cross-site", "Origin": PAGE}, False),
    "a page with a similar origin": ({"Sec-Fetch-Site": "cross-site", "Origin": PAGE + ".evil.example"}, True),
}


@pytest.mark.parametrize("case", REQUESTS)
async def test_a_page_of_another_origin_cannot_post(serving: Client, case: str) -> None:
    headers, refused = REQUESTS[case]
    async with serving(cors_origins=(PAGE,)) as http:
        answer = await http.post("/predict", files=form(grey(1)), headers=headers)
        read = await http.get("/livez", headers=headers)
    assert (answer.status_code == 403) is refused
    assert not refused or answer.json()["code"] == "cross_origin"
    assert read.status_code == 200


PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}


async def test_a_listed_origin_can_send_and_read(serving: Client, tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    key, lines = new_key("page", ["infer"])
    file.write_text(lines)
    async with serving(cors_origins=(PAGE,), keys=str(file)) as http:
        allowed = await http.options("/predict", headers={"Origin": PAGE, **PREFLIGHT})
        other = await http.options("/predict", headers={"Origin": "https://evil.example", **PREFLIGHT})
        answer = await http.post("/predict", files=form(grey(1)), headers={"Origin": PAGE, "X-API-Key": key})
        refused = await http.post("/predict", files=form(grey(1)), headers={"Origin": PAGE})
    assert (answer.status_code, refused.status_code) == (200, 401)
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, PAGE)
    assert "access-control-allow-credentials" not in allowed.headers
    assert (other.status_code, other.headers.get("access-control-allow-origin")) == (403, None)
    assert (other.json()["code"], other.headers["X-Striate-Error"]) == ("cross_origin", "cross_origin")
    for readable in (answer, refused):
        assert readable.headers["access-control-allow-origin"] == PAGE


async def test_a_preflight_names_the_method_that_is_not_allowed(serving: Client) -> None:
    async with serving(cors_origins=(PAGE,)) as http:
        asked = {"Origin": PAGE, "Access-Control-Request-Method": "DELETE"}
        refused = await http.options("/predict", headers=asked)
        without = await http.options("/predict", headers={"Origin": PAGE})  # no preflight
    assert (refused.status_code, refused.json()["code"]) == (403, "cross_origin")
    assert "'DELETE'" in refused.json()["error"]
    assert refused.headers["access-control-allow-origin"] == PAGE
    assert refused.headers["vary"].startswith("Origin")
    assert (without.status_code, without.json()["code"]) == (405, "method_not_allowed")


@pytest.mark.parametrize("origin", ["*", "viewer.example.org", "https://viewer.example.org/", "https://*.example.org"])
def test_an_invalid_origin_is_rejected(origin: str) -> None:
    with pytest.raises(ValueError, match="is not an origin"):
        Settings(cors_origins=(origin,))
