"""The application of this process behind a real socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from service.http.application import create_app
from service.http.connection import BoundedProtocol
from service.settings import Settings
from tests.service.gated_sessions import Gate
from tests.serving import free_port


@asynccontextmanager
async def listening(models: Path, gate: Gate, **fields: Any) -> AsyncIterator[httpx.AsyncClient]:
    """The application behind a real socket of this process, its networks behind the gate; a client of it."""
    settings = Settings(models=models, device="cpu", session_threads=1, worker_threads=2, **fields)
    app = create_app(settings, open_session=gate.session)
    server = uvicorn.Server(uvicorn.Config(app, port=free_port(), log_config=None, http=BoundedProtocol))
    running = asyncio.create_task(server.serve())
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.config.port}", timeout=120) as http:
        async with asyncio.timeout(120):
            while not server.started or (await http.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.01)
        try:
            yield http
        finally:
            server.should_exit = True
            await running
