"""The engine process, as parent.py starts it: `python -m service.engine <listening descriptor> <its folder>`."""

import asyncio
import gc
import os
import shutil
import signal
import socket
import sys
import threading
from pathlib import Path

import uvloop

from service.engine.server import EngineServer
from service.repository import loader
from service.repository.state import Repository
from service.settings import Settings, load_settings
from service.telemetry.background_tasks import ENGINE_PROCESS, background_telemetry
from service.telemetry.log import log
from service.telemetry.metrics import Metrics


def main() -> None:
    descriptor, folder = sys.argv[1:]
    threading.Thread(target=_end_with_parent, args=(folder,), daemon=True).start()
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to all: front ends have requests to answer before we end
        signal.signal(number, signal.SIG_IGN)
    settings = load_settings()
    log.configure(settings.log_level)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(socket.socket(fileno=int(descriptor)), Path(folder), settings))


async def _run(listener: socket.socket, folder: Path, settings: Settings) -> None:
    reception, metrics = EngineServer(), Metrics()
    metrics.engine_starts.inc()

    async def publish(now: Repository) -> None:
        await reception.publish(now)
        gc.collect()
        gc.freeze()  # a full collection would hold up every front end, and would walk through all that stays

    keeper = loader.create_reconciler(settings, publish=publish)
    keeper.cache.on_change = reception.tell_loaded
    async with (
        background_telemetry(settings, metrics, process=ENGINE_PROCESS, folder=folder),
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(keeper.run())
        tasks.create_task(reception.serve(listener))


def _end_with_parent(folder: str) -> None:
    """Standard input ends when the parent has: nobody is left to answer, and nothing of it may stay."""
    sys.stdin.buffer.read()
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


if __name__ == "__main__":
    main()
