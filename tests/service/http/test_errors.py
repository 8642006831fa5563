"""Every error has a code, a status, a row in the docs, and says no more than it should."""

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import suppress
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
from models.errors import PackageError, StriateError
from service.errors import DeadlinePassed, MemoryFull, NotReady, QueueFull
from service.http.errors import Internal, MethodNotAllowed, answerable, forget_frames, members, response
from service.http.middleware.access_log import AccessLogMiddleware
from service.repository.errors import CannotServe
from service.security.errors import KeyMissing, KeyUnknown, RateLimited, ScopeMissing
from service.telemetry.log import log
from service.telemetry.metrics import Metrics

DOCS = Path(__file__).parents[3] / "docs" / "api.md"
ANSWERED = list(members(StriateError))
NEVER_ANSWERED = {  # at start, or a bug
    PackageError,
    service.settings.InvalidSettings,
    service.scheduling.memory_plan.TooLittleMemory,
    service.inference.DeviceUnavailable,
    service.inference.InferenceFailed,
    service.inference.RunGivenUp,
    *PackageError.__subclasses__(),
}


def subclasses(kind: type[StriateError]) -> Iterator[type[StriateError]]:
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


def test_every_error_has_a_status_is_a_family_or_is_never_answered() -> None:
    # The command line's own errors are imported by its tests alone, and never answered.
    every = {error for error in subclasses(StriateError) if not error.__module__.startswith("service.manage.")}
    families = {error for error in every if error.__subclasses__() and "code" not in vars(error)}
    assert every == set(ANSWERED) | families | NEVER_ANSWERED
    assert not set(ANSWERED) & (families | NEVER_ANSWERED)


@pytest.mark.parametrize("error", ANSWERED)
def test_status_and_code_stand_side_by_side(error: type[StriateError]) -> None:
    assert {"status", "code"} <= vars(error).keys()
    assert 400 <= error.status <= 504


def test_an_error_without_a_status_is_a_bug() -> None:
    assert answerable(PackageError("/home/models/broken/rdf.yaml cannot be read.")) is None
    assert answerable(LookupError()) is None
    assert isinstance(answerable(MemoryError()), MemoryFull)


HEADERS = [
    (QueueFull(64, retry_after_s=2), {"Retry-After": "2"}),
    (QueueFull(64, retry_after_s=90), {"Retry-After": "30"}),
    (RateLimited(2.5, retry_after_s=3), {"Retry-After": "3"}),
    (NotReady("The models are still being loaded."), {"Retry-After": "5"}),
    (MethodNotAllowed("GET", allowed=["HEAD", "POST"]), {"Allow": "HEAD, POST"}),
    (KeyMissing(), {"WWW-Authenticate": 'Bearer realm="striate"'}),
    (KeyUnknown(), {"WWW-Authenticate": 'Bearer realm="striate", error="invalid_token"'}),
    (
        ScopeMissing("operate", granted=["infer"]),
        {"WWW-Authenticate": 'Bearer realm="striate", error="insufficient_scope", scope="operate"'},
    ),
    (Internal(), {}),
]


@pytest.mark.parametrize(("error", "headers"), HEADERS)
def test_a_response_has_its_errors_status_code_and_headers(error: StriateError, headers: dict[str, str]) -> None:
    answer = response(error)
    assert answer.status_code == type(error).status
    assert json.loads(answer.body) == {"error": str(error), "code": error.code}
    own = {"content-length", "content-type"}
    assert {name: value for name, value in answer.headers.items() if name not in own} == {
        "x-striate-error": error.code,
        **{name.lower(): value for name, value in headers.items()},
    }


SENTENCES = {
    "The queue is full (64 images). Retry in 2 s.": QueueFull(64, retry_after_s=2),
    "The queue is full (1 image). Retry in 1 s.": QueueFull(1),
    "The image memory budget is exhausted. Retry in 2 s.": MemoryFull(),
    "This key is limited to 2.5 requests per second. Retry in 3 s.": RateLimited(2.5, retry_after_s=3),
    "The response was not ready within 0.5 s.": DeadlinePassed(0.5),
    "Nothing was changed: nuclei has no earlier version to roll back to.": CannotServe(
        "nuclei has no earlier version to roll back to"
    ),
}


@pytest.mark.parametrize("sentence", SENTENCES)
def test_sentences_say_what_was_wrong_and_what_to_do(sentence: str) -> None:
    assert str(SENTENCES[sentence]) == sentence


def test_codes_are_slugs_and_differ() -> None:
    codes = [error.code for error in ANSWERED]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in codes)


def test_docs_have_every_code_with_its_status() -> None:
    rows = re.findall(r"^\| (\d{3}) \| `(\w+)` \| .+ \|$", DOCS.read_text(), re.MULTILINE)
    assert {code: int(status) for status, code in rows} == {error.code: error.status for error in ANSWERED}


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


@pytest.mark.anyio
async def test_a_frame_that_goes_on_keeps_what_it_has() -> None:
    """Requests that wait for one network share the error of its loading."""
    error = MemoryError()

    async def waits(image: bytes) -> bytes:
        with suppress(MemoryError):
            try:
                raise error
            finally:
                await asyncio.sleep(0.01)
        return image

    waiting = asyncio.create_task(waits(b"image"))
    await asyncio.sleep(0)
    assert error.__traceback__
    forget_frames(error)
    assert error.__traceback__ is None
    assert await waiting == b"image"
