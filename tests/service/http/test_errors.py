"""Every error has a code, a status, a row in the docs, and says no more than it should."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import service.inference
import service.settings
from models.errors import ImageError, PackageError, StriateError
from service.errors import Busy, RequestError
from service.http.errors import STATUS
from service.http.middleware.access_log import AccessLogMiddleware
from service.telemetry.log import log
from service.telemetry.metrics import Metrics

DOCS = Path(__file__).parents[3] / "docs" / "api.md"
FAMILIES = {ImageError, RequestError, Busy}
NEVER_ANSWERED = {  # at start, or a bug
    PackageError, service.settings.InvalidSettings, service.inference.DeviceUnavailable, service.inference.InferenceFailed,
}  # fmt: skip


def subclasses(kind: type[StriateError]) -> Iterator[type[StriateError]]:
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


def test_every_error_has_a_status() -> None:
    # The command line's own errors are imported by its tests alone, and never answered.
    answered = {error for error in subclasses(StriateError) if not error.__module__.startswith("service.manage.")}
    assert answered == set(STATUS) | FAMILIES | NEVER_ANSWERED


def test_codes_are_slugs_and_differ() -> None:
    codes = [error.code for error in STATUS]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in codes)


def test_docs_have_every_code_with_its_status() -> None:
    rows = re.findall(r"^\| (\d{3}) \| `(\w+)` \| .+ \|$", DOCS.read_text(), re.MULTILINE)
    assert {code: int(status) for status, code in rows} == {error.code: status for error, status in STATUS.items()}


@pytest.mark.anyio
async def test_a_bug_is_a_500_that_tells_the_caller_nothing_and_the_log_where(
    capfd: pytest.CaptureFixture[str],
) -> None:
    async def buggy(_: Request) -> Response:
        raise LookupError("the patient is Erika Mustermann")

    log.configure("info")
    metrics = Metrics()
    app = Starlette(
        routes=[Route("/buggy", buggy)],
        middleware=[Middleware(AccessLogMiddleware, metrics=metrics, routes=["/buggy"])],
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://striate") as http:
        response = await http.get("/buggy", headers={"X-Request-ID": "case-9"})
    err = capfd.readouterr().err
    assert (response.status_code, response.json()["code"]) == (500, "internal")
    assert response.headers["X-Request-ID"] == "case-9"
    assert "LookupError" in err
    assert "test_errors.py" in err
    for written in (response.text, err):
        assert "Mustermann" not in written
    assert 'striate_errors_total{code="internal"} 1.0' in metrics.exposition().decode()
