"""Tests of the folder watcher."""

import asyncio
import json
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
