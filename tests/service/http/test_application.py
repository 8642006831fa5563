"""Tests of the application: its routing errors, and a reconciler that fails."""

import asyncio
from pathlib import Path

import httpx
import pytest

from service import __version__
from service.http.application import create_app
from service.repository.state import Repository
from service.settings import Settings
from tests.conftest import Client
from tests.service.exposition import metric

pytestmark = pytest.mark.anyio


async def test_unknown_paths_and_methods_have_the_one_error_shape(serving: Client) -> None:
    async with serving() as http:
        path = await http.get("/predictions")
        method = await http.get("/predict")
    assert (path.status_code, path.json()["code"]) == (404, "no_such_route")
    assert "/predict" in path.json()["error"]
    assert (method.status_code, method.json()["code"], method.headers["Allow"]) == (405, "method_not_allowed", "POST")


async def test_a_failure_of_the_reconciler_is_logged_and_the_service_goes_on(
    root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(_: Repository) -> None:
        raise LookupError("what no package can cause")

    app = create_app(Settings(models=root, device="cpu", session_threads=1), on_ready=fail)
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://striate")
    async with app.router.lifespan_context(app), client as http:
        async with asyncio.timeout(60):
            while "unhandled exception" not in (written := capfd.readouterr().err):
                await asyncio.sleep(0.01)
        assert (await http.get("/livez")).status_code == 200
    assert '"request_id":"models","kind":"LookupError"' in written
    assert "what no package" not in written  # a message may quote an image


async def test_the_metrics_name_the_version_and_the_queues_limit(serving: Client) -> None:
    async with serving(queue_length=7) as http:
        metrics = (await http.get("/metrics")).text
    assert metric(metrics, "striate_queue_limit") == 7
    assert metric(metrics, "striate_service_info", version=__version__, device="cpu") == 1
