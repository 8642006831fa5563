"""Tests of the folder watcher."""

import asyncio
import json
import time
from contextlib import suppress
from pathlib import Path

import pytest

from service.repository.watch import watch

pytestmark = pytest.mark.anyio


async def test_a_new_file_is_reported(tmp_path: Path) -> None:
    changed = asyncio.Event()
    watching = asyncio.create_task(watch(tmp_path, changed.set))
    async with asyncio.timeout(60):
        n = 0
        while not changed.is_set():  # the watch takes a moment to start
            (tmp_path / str(n := n + 1)).touch()
            await asyncio.sleep(0.1)
    watching.cancel()
    await asyncio.wait([watching])


async def test_a_missing_folder_is_logged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await watch(tmp_path / "missing", lambda: None)
    line = json.loads(capsys.readouterr().err)
    assert (line["level"], line["event"]) == ("warning", "folder not watched")


@pytest.mark.slow
async def test_a_link_is_not_followed_out_of_a_package(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor does a name that is no text end the watch, or fill the log."""
    version, outside = tmp_path / "models" / "digits" / "1.0", tmp_path / "outside"
    version.mkdir(parents=True)
    outside.mkdir()
    (version / "link").symlink_to(outside)
    changes: list[float] = []
    watching = asyncio.create_task(watch(tmp_path / "models", lambda: changes.append(time.monotonic())))

    async def is_noticed(path: Path, *, within_s: float = 60) -> bool:
        before = -1
        while len(changes) > before:  # until what came before has been reported
            before = len(changes)
            await asyncio.sleep(1.5)
        path.touch()
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while len(changes) == before:
                    await asyncio.sleep(0.05)
        return len(changes) > before

    assert await is_noticed(version / "file")  # by then the watch has begun
    assert not await is_noticed(outside / "file", within_s=2)
    assert await is_noticed(version / "\udcff\n")
    (tmp_path / "models" / "\udcfe" / "1.0").mkdir(parents=True)
    new = tmp_path / "models" / "new" / "1.0"
    new.mkdir(parents=True)
    assert await is_noticed(new / "file")
    list((tmp_path / "models" / "\udcfe").iterdir())  # which the watch of the root is told, with the name
    assert await is_noticed(new / "other")
    assert not watching.done()
    assert capsys.readouterr().err.count("folder watched again") == 1
    watching.cancel()
    await asyncio.wait([watching])
