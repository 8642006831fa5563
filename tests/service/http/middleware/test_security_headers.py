"""Tests of the security headers of every response."""

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from service.http.middleware.security_headers import SECURITY_HEADERS, SecurityHeadersMiddleware
from tests.conftest import Client
from tests.service.image_files import form, grey

pytestmark = pytest.mark.anyio


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
