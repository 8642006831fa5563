"""CONTRIBUTING.md's rows of the service: each change made in a copy, where the files of its row are enough."""

from pathlib import Path

import pytest

from tests.contributing.changed_copy import ChangedCopy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ASKED = """
import asyncio, httpx
from service.http.application import create_app
from service.settings import Settings

async def get(app, path):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://striate") as http:
        return await http.get(path)

app = create_app(Settings())
"""  # the service in process; none of these changes needs a model to be loaded


def test_an_error(tmp_path: Path) -> None:
    change = ChangedCopy(tmp_path, row="an error")
    change.edit(
        "service/errors.py",
        (
            "class CamError(RequestError):",
            """class ImageTooBlurry(InputError):
    status, code = 422, "image_too_blurry"

    def __init__(self, sharpness: float) -> None:
        super().__init__(f"The image's sharpness is {sharpness:g}; this model needs at least 0.5.")


class CamError(RequestError):""",
        ),
    )
    change.edit(
        "docs/api.md", ("| 429 | `queue_full` |", "| 422 | `image_too_blurry` | out of focus |\n| 429 | `queue_full` |")
    )
    told = change.run(
        ASKED
        + """
from starlette.routing import Route
from service.errors import ImageTooBlurry

async def blurry(_):
    raise ImageTooBlurry(0.25)

app.router.routes.append(Route("/blurry", blurry))
answer = asyncio.run(get(app, "/blurry"))
print(answer.status_code, answer.json()["code"], answer.headers["X-Striate-Error"])
document = asyncio.run(get(app, "/docs.json")).json()
print("image_too_blurry" in document["paths"]["/predict"]["post"]["responses"]["422"]["description"])
print('striate_errors_total{code="image_too_blurry"} 1.0' in asyncio.run(get(app, "/metrics")).text)
"""
    )
    assert told.splitlines() == ["422 image_too_blurry image_too_blurry", "True", "True"]
    change.passes("tests/service/http/test_errors.py", "tests/service/http/test_openapi.py")
    assert change.code == 1


def test_a_setting(tmp_path: Path) -> None:
    change = ChangedCopy(tmp_path, row="a setting")
    change.edit(
        "service/settings.py",
        (
            "    log_level: Literal",
            '    zoom: int = Field(3, ge=1, le=9, description="How far.")\n    log_level: Literal',
        ),
    )
    change.module("docs.configuration")  # make reference
    read = "from service.settings import load_settings; print(load_settings().zoom)"
    assert change.run(read) == "3\n"
    assert change.run(read, STRIATE_ZOOM="7") == "7\n"
    change.passes("tests/service/test_settings.py")
    change.passes("tests/deploy/test_compose.py", only="setting")
    assert change.code == 1


def test_a_prometheus_metric(tmp_path: Path) -> None:
    change = ChangedCopy(tmp_path, row="a Prometheus metric")
    change.edit(
        "service/telemetry/metrics.py",
        (
            "        self.loop_lag =",
            '        self.echoes = counter("echoes_total", "Echoes heard.", ["side"])\n        self.loop_lag =',
        ),
    )
    change.edit(
        "docs/monitoring.md",
        (
            "| `striate_engine_starts_total` |",
            "| `striate_echoes_total` | counter | side | Echoes heard. |\n| `striate_engine_starts_total` |",
        ),
    )
    told = change.run(
        ASKED
        + """
from service.telemetry.metrics import Metrics
metrics = Metrics()
metrics.echoes.labels("left").inc()
print('striate_echoes_total{side="left"} 1.0' in metrics.exposition().decode())
print("# TYPE striate_echoes_total counter" in asyncio.run(get(app, "/metrics")).text)
"""
    )
    assert told.split() == ["True", "True"]
    change.passes("tests/test_monitoring.py", only="page_lists_every_metric")
    assert change.code == 1


def test_an_endpoint(tmp_path: Path) -> None:
    change = ChangedCopy(tmp_path, row="an endpoint")
    change.edit(
        "service/http/routes.py",
        (
            '            Route("/livez", self.livez),\n',
            '            Route("/echo", self.echo),\n            Route("/livez", self.livez),\n',
        ),
        (
            "    async def livez(",
            '''    async def echo(self, request: Request) -> Response:
        """What was asked."""
        return JSONResponse({"echo": request.url.query})

    async def livez(''',
        ),
    )
    change.edit(
        "service/http/openapi.py",
        (
            '        "/livez": {',
            '        "/echo": {"get": _operation("What was asked.", _json(Health))},\n        "/livez": {',
        ),
    )
    change.edit("docs/api.md", ("`GET /livez`", "`GET /echo`, `GET /livez`"))
    told = change.run(
        ASKED
        + """
print(asyncio.run(get(app, "/echo?who")).json())
print("/echo" in asyncio.run(get(app, "/docs.json")).json()["paths"])
"""
    )
    assert told.splitlines() == ["{'echo': 'who'}", "True"]
    change.passes("tests/service/http/test_openapi.py", "tests/service/http/test_api_docs.py")
    assert change.code == 2
