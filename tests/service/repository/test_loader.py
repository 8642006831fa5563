"""Tests of model loading as configured by the settings."""

from pathlib import Path

import pytest

from models.package import Package
from service.inference import Gpu
from service.repository.loader import create_reconciler, gpu_options
from service.repository.state import Repository
from service.settings import Settings
from tests import tiny
from tests.service.repository.versions import SessionTracker

pytestmark = pytest.mark.anyio


async def test_a_refresh_publishes_what_the_opener_loads(tmp_path: Path) -> None:
    package: Package = tiny.brightness(tmp_path)
    sessions, published = SessionTracker(), []

    async def publish(repository: Repository) -> None:
        published.append(repository)

    settings = Settings(models=tmp_path, device="cpu", queue_length=7, wanted=("brightness", "blobs"))
    reconciler = create_reconciler(settings, sessions, publish=publish)
    try:
        repository = await reconciler.refresh()
        assert await reconciler.refresh() is repository  # nothing has changed
        assert published == [repository]
        assert len(sessions.sessions) == 1
        assert repository.served["brightness"].package == package
        assert repository.missing() == ("blobs",)
    finally:
        reconciler.close()


def test_gpu_options_are_those_of_the_settings() -> None:
    settings = Settings(gpu_memory_bytes=2**30)
    assert gpu_options(settings) == Gpu(settings.gpu_engine, 2**30, settings.engine_cache)
