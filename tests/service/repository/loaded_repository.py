"""A repository as the reconciler loads it from a folder."""

import asyncio
from pathlib import Path

from service.repository import loader
from service.repository.state import Repository
from service.settings import Settings


def load_repository(root: Path, *, wanted: tuple[str, ...] = ()) -> Repository:
    """Returns the state after the first refresh; its networks are closed."""

    async def publish(_: Repository) -> None: ...

    async def refresh() -> Repository:
        settings = Settings(models=root, device="cpu", session_threads=1, wanted=wanted)
        reconciler = loader.create_reconciler(settings, publish=publish)
        repository = await reconciler.refresh()
        reconciler.close()
        return repository

    return asyncio.run(refresh())
