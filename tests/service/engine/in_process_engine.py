"""An engine and front ends in one process, connected by a real socket and real shared memory."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from models.image import Array
from models.package import Package
from service.engine.client import RemoteBatcher, follow_engine
from service.engine.server import EngineServer
from service.inference import Session
from service.repository import loader
from service.repository.state import ModelBatcher, Repository
from service.scheduling.work import Deadline, Work
from service.scheduling.work_item import InferenceResult
from service.settings import Settings


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[Path, socket.socket]]:
    """Opens the listening socket of an engine, and yields its path too."""
    with TemporaryDirectory(prefix="striate-") as folder, socket.socket(socket.AF_UNIX) as listener:
        path = Path(folder, "engine")  # a socket's path must be short, and tmp_path is not
        listener.bind(str(path))
        listener.listen()
        listener.setblocking(False)
        yield path, listener


async def accept_front_end(listener: socket.socket, message: bytes) -> socket.socket:
    """Accepts the next front end, and sends it these bytes."""
    loop = asyncio.get_running_loop()
    connection, _ = await loop.sock_accept(listener)
    await loop.sock_recv(connection, 1)
    await loop.sock_sendall(connection, message)
    return connection


@asynccontextmanager
async def engine(
    models: Path, opener: Callable[[Package], Session] | None = None, *, length: int = 64, loaded_bytes: int = 0
) -> AsyncIterator[tuple[Path, Repository]]:
    """Runs an engine; yields its socket's path and its repository."""
    settings = Settings(models=models, device="cpu", session_threads=1, queue_length=length, loaded_bytes=loaded_bytes)
    async with listening() as (path, listener):
        server = EngineServer()
        reconciler = loader.create_reconciler(settings, opener, publish=server.publish)
        reconciler.cache.on_change = server.notify_loaded
        serving = asyncio.create_task(server.serve(listener))
        try:
            yield path, await reconciler.refresh()
        finally:
            serving.cancel()
            await asyncio.wait([serving])
            reconciler.close()


@asynccontextmanager
async def front_end(path: Path, *, length: int = 64) -> AsyncIterator[Repository]:
    """Runs a front end of the engine at `path`; yields its repository."""
    first: asyncio.Future[Repository] = asyncio.get_running_loop().create_future()

    async def on_connect(repository: Repository) -> None:
        first.set_result(repository)

    following = asyncio.create_task(
        follow_engine(path, length=length, wanted=(), on_connect=on_connect, on_loss=lambda: None)
    )
    try:
        yield await first
    finally:
        following.cancel()
        await asyncio.wait([following])
        await asyncio.sleep(0.01)  # until both ends have closed


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not happened():
            await asyncio.sleep(0.001)


def picture(value: float, *shape: int) -> Array:
    return np.full((1, *(shape or (1, 8, 8))), value, np.float32)


async def submit(queue: ModelBatcher, tensor: Array, outputs: Sequence[str] = ("probabilities",)) -> InferenceResult:
    return await queue.submit(tensor, outputs, Work(Deadline.after(120)))


def submit_image(repository: Repository, value: float, **how: object) -> asyncio.Task[InferenceResult]:
    """Submits a small image in a task of its own."""
    work = Work(how.pop("deadline", None) or Deadline.after(120), **how)
    queue = repository.served["brightness"].batcher
    return asyncio.create_task(queue.submit(picture(value), ["probabilities"], work))


def remote(repository: Repository, name: str = "brightness") -> RemoteBatcher:
    queue = repository.served[name].batcher
    assert isinstance(queue, RemoteBatcher)
    return queue


def is_idle(repository: Repository) -> bool:
    return remote(repository).connection.is_idle
