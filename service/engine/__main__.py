"""Engine process, started by supervisor.py as `python -m service.engine <listening descriptor> <its folder>`."""

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
from service.process import memory_allocator
from service.repository import loader
from service.repository.state import Repository
from service.settings import Settings, load_settings
from service.telemetry.background_tasks import ENGINE_PROCESS, background_telemetry
from service.telemetry.log import log
from service.telemetry.metrics import Metrics


def main() -> None:
    descriptor, folder = sys.argv[1:]
    threading.Thread(target=_end_with_parent, args=(folder,), daemon=True).start()
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # sent to all processes: the front ends need this one to finish their requests
        signal.signal(number, signal.SIG_IGN)
    memory_allocator.install()
    settings = load_settings()
    log.configure(settings.log_level)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(socket.socket(fileno=int(descriptor)), Path(folder), settings))


async def _run(listener: socket.socket, folder: Path, settings: Settings) -> None:
    server, metrics = EngineServer(), Metrics()
    metrics.engine_starts.inc()

    async def publish(repository: Repository) -> None:
        await server.publish(repository)
        gc.collect()
        gc.freeze()  # a full collection would block every front end to traverse these permanent objects

    reconciler = loader.create_reconciler(settings, publish=publish)
    reconciler.cache.on_change = server.notify_loaded
    async with (
        background_telemetry(settings, metrics, process=ENGINE_PROCESS, folder=folder),
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(reconciler.run())
        tasks.create_task(server.serve(listener))


def _end_with_parent(folder: str) -> None:
    """Ends this process and removes its folder when standard input closes, which means that the parent has ended."""
    sys.stdin.buffer.read()
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


if __name__ == "__main__":
    main()
