"""An engine process's parts and two applications as its front ends, all in this process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx

from service.engine.server import EngineServer
from service.repository import loader
from service.settings import Settings
from tests.conftest import Client
from tests.service.engine.in_process_engine import listening


@asynccontextmanager
async def two_front_ends(serving: Client, models: Path, opener) -> AsyncIterator[tuple[httpx.AsyncClient, ...]]:
    """Runs the parts of an engine process, and two applications as its front ends."""
    settings = Settings(models=models, device="cpu", session_threads=1)
    async with listening() as (path, listener):
        server = EngineServer()
        reconciler = loader.create_reconciler(settings, opener, publish=server.publish)
        reconciler.cache.on_change = server.notify_loaded
        tasks = [asyncio.create_task(reconciler.run()), asyncio.create_task(server.serve(listener))]
        async with AsyncExitStack() as stack:
            front_ends = [
                serving(models=models, engine_socket=str(path), process=name) for name in ("front_end_1", "front_end_2")
            ]
            yield tuple([await stack.enter_async_context(front_end) for front_end in front_ends])
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        reconciler.close()
