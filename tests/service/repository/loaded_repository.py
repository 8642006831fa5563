"""A repository as the reconciler loads it from a folder."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from models.package import Package
from service.inference import Session
from service.repository import loader
from service.repository.state import Repository
from service.settings import Settings


@asynccontextmanager
async def open_repository(
    root: Path, opener: Callable[[Package], Session] | None = None, *, wanted: tuple[str, ...] = ()
) -> AsyncIterator[Repository]:
    """Yields the state after the first refresh; its networks run until the block ends."""

    async def publish(_: Repository) -> None: ...

    settings = Settings(models=root, device="cpu", session_threads=1, wanted=wanted)
    reconciler = loader.create_reconciler(settings, opener, publish=publish)
    try:
        yield await reconciler.refresh()
    finally:
        reconciler.close()


def load_repository(root: Path, *, wanted: tuple[str, ...] = ()) -> Repository:
    """Returns the state after the first refresh; its networks are closed."""

    async def refresh() -> Repository:
        async with open_repository(root, wanted=wanted) as repository:
            return repository

    return asyncio.run(refresh())
