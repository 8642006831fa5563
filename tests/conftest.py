"""What tests of the service share: packages, settings, a client of the application in this process."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import settings

from models.package import Package
from service.http.application import create_app
from service.settings import Settings
from service.telemetry.background_tasks import SERVICE_PROCESS
from tests import tiny

Client = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]

settings.register_profile("shared", deadline=None)  # the time of one example says nothing on a machine that is shared
settings.load_profile("shared")


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of one package of each kind; nothing may change it."""
    folder = tmp_path_factory.mktemp("models")
    tiny.brightness(folder)
    tiny.blobs(folder)
    tiny.tissue(folder)
    return folder


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def serving(root: Path) -> Client:
    """`async with serving(device="cpu", ...) as http`: the application with these settings, its models loaded."""

    @asynccontextmanager
    async def start(
        open_session: Callable[[Package], Any] | None = None, *, process: str = SERVICE_PROCESS, **fields: Any
    ) -> AsyncIterator[httpx.AsyncClient]:
        usual = {"models": root, "device": "cpu", "session_threads": 1, "worker_threads": 2}
        loaded = anyio.Event()
        settings = Settings(**{**usual, **fields})
        app = create_app(settings, open_session=open_session, on_ready=lambda _: loaded.set(), process=process)
        async with app.router.lifespan_context(app):
            await loaded.wait()
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://striate") as http:
                yield http

    return start
