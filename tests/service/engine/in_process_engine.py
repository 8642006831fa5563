"""An engine and front ends in one process, with a real socket and real shared memory between them."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from models.image import Array
from models.package import Package
from service.engine.client import RemoteBatcher, follow
from service.engine.server import EngineServer
from service.inference import Session
from service.repository import loader
from service.repository.state import ModelBatcher, Repository
from service.scheduling.work import Deadline, Work
from service.scheduling.work_item import InferenceResult
from service.settings import Settings


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[Path, socket.socket]]:
    """Where an engine may listen, and on what."""
    with TemporaryDirectory(prefix="striate-") as folder, socket.socket(socket.AF_UNIX) as listener:
        path = Path(folder, "engine")  # a socket's path must be short, and tmp_path is not
        listener.bind(str(path))
        listener.listen()
        listener.setblocking(False)
        yield path, listener


async def take_in(listener: socket.socket, says: bytes) -> socket.socket:
    """The next front end's connection, greeted with these bytes."""
    loop = asyncio.get_running_loop()
    connection, _ = await loop.sock_accept(listener)
    await loop.sock_recv(connection, 1)
    await loop.sock_sendall(connection, says)
    return connection


@asynccontextmanager
async def engine(
    models: Path, opener: Callable[[Package], Session] | None = None, *, length: int = 64, loaded_bytes: int = 0
) -> AsyncIterator[tuple[Path, Repository]]:
    """Where an engine listens, and what it has loaded."""
    settings = Settings(models=models, device="cpu", session_threads=1, queue_length=length, loaded_bytes=loaded_bytes)
    async with listening() as (path, listener):
        reception = EngineServer()
        keeper = loader.create_reconciler(settings, opener, publish=reception.publish)
        keeper.cache.on_change = reception.tell_loaded
        serving = asyncio.create_task(reception.serve(listener))
        try:
            yield path, await keeper.refresh()
        finally:
            serving.cancel()
            await asyncio.wait([serving])
            keeper.close()


@asynccontextmanager
async def front_end(path: Path, *, length: int = 64) -> AsyncIterator[Repository]:
    """What a front end of the engine at `path` serves."""
    first: asyncio.Future[Repository] = asyncio.get_running_loop().create_future()

    async def joined(repository: Repository) -> None:
        first.set_result(repository)

    following = asyncio.create_task(follow(path, length=length, wanted=(), joined=joined, lost=lambda: None))
    try:
        yield await first
    finally:
        following.cancel()
        await asyncio.wait([following])
        await asyncio.sleep(0.01)  # both ends take note


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not happened():
            await asyncio.sleep(0.001)


def picture(value: float, *shape: int) -> Array:
    return np.full((1, *(shape or (1, 8, 8))), value, np.float32)


async def asked(queue: ModelBatcher, tensor: Array, outputs: Sequence[str] = ("probabilities",)) -> InferenceResult:
    return await queue.submit(tensor, outputs, Work(Deadline.after(120)))


def asking(repository: Repository, value: float, **how: object) -> asyncio.Task[InferenceResult]:
    """One small image, which takes its place at the next chance."""
    work = Work(how.pop("deadline", None) or Deadline.after(120), **how)
    queue = repository.served["brightness"].batcher
    return asyncio.create_task(queue.submit(picture(value), ["probabilities"], work))


def remote(repository: Repository, name: str = "brightness") -> RemoteBatcher:
    queue = repository.served[name].batcher
    assert isinstance(queue, RemoteBatcher)
    return queue


def nothing_is_in_use(repository: Repository) -> bool:
    link = remote(repository)._link
    return link._slots.reach == 0 and not link._asked
