"""Tests of the BentoML service: requests bypass BentoML's application and leave nothing behind."""

import asyncio
import gc
import importlib
import json
import warnings
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType

import httpx
import pytest
from bentoml._internal.server.http.traffic import TimeoutMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from tests.service.image_files import form, grey
from tests.serving import served

TIMEOUT_S = 60.0


@pytest.fixture
def app_module(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Imports service.app, which reads the environment at its first import."""
    monkeypatch.setenv("STRIATE_MODELS", str(root))
    monkeypatch.setenv("STRIATE_DEVICE", "cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # raised by BentoML's dependencies
        return importlib.import_module("service.app")


def timers() -> int:
    """Returns the number of pending timers in this process."""
    gc.collect()
    return sum(issubclass(type(found), asyncio.TimerHandle) and not found.cancelled() for found in gc.get_objects())


@asynccontextmanager
async def lifespan(app: ASGIApp) -> AsyncIterator[None]:
    """Runs the application's lifespan as a server does."""
    to_app: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    from_app: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    to_app.put_nowait({"type": "lifespan.startup"})
    running = asyncio.create_task(app({"type": "lifespan", "asgi": {"version": "3.0"}}, to_app.get, from_app.put))
    assert (await from_app.get())["type"] == "lifespan.startup.complete"
    yield
    to_app.put_nowait({"type": "lifespan.shutdown"})
    await running


@pytest.mark.anyio
async def test_bentomls_middleware_leaks_a_timer_per_request() -> None:
    """Documents BentoML's defect; if this fails, DirectService is needed only for speed and formats."""
    bentoml_app = TimeoutMiddleware(Response("ok"), timeout=TIMEOUT_S)
    before = timers()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(bentoml_app), base_url="http://striate") as http:
        for _ in range(20):
            await http.get("/")
    assert timers() == before + 20


@pytest.mark.anyio
async def test_a_request_through_this_service_leaks_nothing(app_module: ModuleType) -> None:
    app = app_module.Striate.to_asgi()
    transport = httpx.ASGITransport(app)
    async with lifespan(app), httpx.AsyncClient(transport=transport, base_url="http://striate") as http:
        async with asyncio.timeout(120):
            while (await http.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.01)
        frozen = gc.get_freeze_count()
        gc.unfreeze()
        before, tasks = timers(), len(asyncio.all_tasks())
        for _ in range(20):
            assert (await http.post("/predict", files=form(grey(204)))).status_code == 200
        assert timers() < before + 5  # the service's own timers end
        async with asyncio.timeout(60):
            while len(asyncio.all_tasks()) > tasks:  # the last request's watcher is being cancelled
                await asyncio.sleep(0)
    assert frozen > 10_000  # loaded objects are exempt from collection


@pytest.mark.slow
def test_the_server_runs_on_uvloop_and_httptools_under_load(root: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    values = tmp_path / "values"
    values.mkdir()
    with served(log, STRIATE_MODELS=str(root), PROMETHEUS_MULTIPROC_DIR=str(values)) as (http, _):

        def caller(value: int) -> list[int]:
            with httpx.Client(base_url=http.base_url, timeout=120) as own:  # one persistent connection
                return [own.post("/predict", files=form(grey(value))).status_code for _ in range(20)]

        with ThreadPoolExecutor(32) as callers:
            statuses = [status for each in callers.map(caller, range(32)) for status in each]
        metrics = http.get("/metrics").text
    assert statuses == [200] * 640
    assert 'striate_requests_total{route="/predict",status="200"} 640.0' in metrics
    assert not list(values.iterdir())  # metrics stay in memory
    lines = log.read_text().splitlines()
    ready = next(json.loads(line) for line in lines if '"event":"ready"' in line)
    assert (ready["event_loop"], ready["http_parser"]) == ("uvloop", "uvicorn.protocols.http.httptools_impl")
    assert sum("/predict" in line and '"event":"request"' in line for line in lines) == 640
    assert not any("HTTP/1.1" in line for line in lines)  # no second access log
