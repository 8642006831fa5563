"""Tests of the reconciler: versions are added, replaced and removed while requests continue."""

import asyncio
import shutil
from pathlib import Path

import httpx
import pytest

from tests import tiny
from tests.conftest import Client
from tests.service.gated_sessions import Gate
from tests.service.repository.versions import (
    SessionTracker,
    ask,
    check_answers,
    states,
    until,
    wait_for_version,
    write_version,
)

pytestmark = pytest.mark.anyio
CALLERS = 16


Answer = tuple[str, str, int]  # version, label, value


async def keep_asking(
    http: httpx.AsyncClient, answers: list[Answer], *, replaced: asyncio.Event, stop: asyncio.Event
) -> None:
    """Sends one request after another; a version that was replaced before a request was sent must not answer it."""
    versions: list[str] = []
    while not stop.is_set():
        for value in (100, 200):
            was_replaced = replaced.is_set()
            number, label = await ask(http, value)
            answers.append((number, label, value))
            if number not in versions:
                versions.append(number)
            assert number == versions[-1]
            assert number == "2.0" or not was_replaced


async def test_a_new_version_takes_over_without_losing_a_request(serving: Client, tmp_path: Path) -> None:
    write_version(tmp_path, "1.0")
    sessions, answers = SessionTracker(), list[Answer]()
    replaced, stop = asyncio.Event(), asyncio.Event()
    async with serving(sessions, models=tmp_path) as http, asyncio.TaskGroup() as callers:
        for _ in range(CALLERS):
            callers.create_task(keep_asking(http, answers, replaced=replaced, stop=stop))
        await until(lambda: asyncio.sleep(0, len(answers) > 2 * CALLERS))
        write_version(tmp_path, "2.0")
        await wait_for_version(http, "2.0")
        replaced.set()
        before = len(answers)
        await until(lambda: asyncio.sleep(0, len(answers) > before + 4 * CALLERS))
        await until(lambda: asyncio.sleep(0, sessions.alive_count() == 1))
        stop.set()
    assert check_answers(answers) == {"1.0", "2.0"}


async def test_a_running_request_ends_with_the_version_it_began_with(serving: Client, tmp_path: Path) -> None:
    write_version(tmp_path, "1.0")
    gate, tracker = Gate(), SessionTracker()

    def session(package):
        return tracker(package) if package.spec.version == "2.0" else gate.session(package)

    async with serving(session, models=tmp_path) as http:
        gate.shut()
        running = asyncio.create_task(ask(http, 200))
        await until(lambda: asyncio.sleep(0, gate.runs[-1:] == [1]))
        write_version(tmp_path, "2.0")
        await wait_for_version(http, "2.0")
        assert await ask(http, 200) == ("2.0", "dark")  # without waiting for the running request
        assert not running.done()
        gate.open()
        assert await running == ("1.0", "bright")


async def test_an_atomically_replaced_version_is_reloaded(serving: Client, tmp_path: Path) -> None:
    first = write_version(tmp_path, "1.0")
    async with serving(models=tmp_path) as http:
        assert await ask(http, 200) == ("1.0", "bright")
        second = write_version(tmp_path, "1.0", like="2.0")
        assert second.sha256 != first.sha256

        async def is_replaced() -> bool:
            return (await http.get("/models/brightness")).json()["sha256"] == second.sha256

        await until(is_replaced)
        assert await ask(http, 200) == ("1.0", "dark")


async def test_an_invalid_package_leaves_the_old_version_in_service(serving: Client, tmp_path: Path) -> None:
    write_version(tmp_path / "elsewhere", "2.0").weights.write_bytes(b"not what rdf.yaml says")
    write_version(tmp_path / "models", "1.0")
    async with serving(models=tmp_path / "models") as http:
        (tmp_path / "elsewhere/brightness/2.0").rename(tmp_path / "models/brightness/2.0")

        async def is_invalid() -> bool:
            return (await states(http)).get("2.0") == ("invalid", None)

        await until(is_invalid)
        assert await ask(http, 200) == ("1.0", "bright")
        assert (await http.get("/readyz")).status_code == 200
        known = (await http.get("/models")).json()["models"]
        (reason,) = [model["reason"] for model in known if model["status"] == "invalid"]
        assert "model.onnx has been changed" in reason
        write_version(tmp_path / "models", "2.0")  # repaired
        await wait_for_version(http, "2.0")
        assert await states(http) == {"2.0": ("ready", "serves"), "1.0": ("inactive", None)}


async def test_a_version_whose_folder_becomes_invalid_stays_in_service(serving: Client, tmp_path: Path) -> None:
    write_version(tmp_path, "1.0")
    newest = write_version(tmp_path, "2.0")
    async with serving(models=tmp_path) as http:
        newest.weights.write_bytes(b"")

        async def is_invalid() -> bool:
            return any(model["status"] == "invalid" for model in (await http.get("/models")).json()["models"])

        await until(is_invalid)
        assert await ask(http, 200) == ("2.0", "dark")


async def test_a_slowly_written_folder_serves_once_complete(serving: Client, tmp_path: Path) -> None:
    whole = write_version(tmp_path / "elsewhere", "2.0").folder
    write_version(tmp_path / "models", "1.0")
    async with serving(models=tmp_path / "models") as http:
        slow = tmp_path / "models/brightness/2.0"
        slow.mkdir()
        for file in sorted(whole.iterdir(), key=lambda file: file.name != "rdf.yaml"):  # the description comes first
            data = file.read_bytes()
            (slow / file.name).write_bytes(data[: len(data) // 2])
            await asyncio.sleep(0.2)
            assert await ask(http, 200) == ("1.0", "bright")
            (slow / file.name).write_bytes(data)
        await wait_for_version(http, "2.0")


async def test_a_removed_version_is_replaced_by_the_next_older(serving: Client, tmp_path: Path) -> None:
    write_version(tmp_path, "1.0")
    newest = write_version(tmp_path, "2.0")
    tiny.blobs(tmp_path)
    async with serving(models=tmp_path) as http:
        assert await ask(http, 200) == ("2.0", "dark")
        shutil.rmtree(newest.folder)
        await wait_for_version(http, "1.0")
        assert await ask(http, 200) == ("1.0", "bright")
        shutil.rmtree(newest.folder.parent)

        async def is_removed() -> bool:
            return (await http.get("/models/brightness")).status_code == 404

        await until(is_removed)


async def test_a_model_added_later_is_served(serving: Client, tmp_path: Path) -> None:
    async with serving(models=tmp_path, wanted=("brightness",)) as http:
        assert (await http.get("/readyz")).status_code == 503
        write_version(tmp_path, "1.0")

        async def is_ready() -> bool:
            return (await http.get("/readyz")).status_code == 200

        await until(is_ready)
        assert await ask(http, 200) == ("1.0", "bright")


async def test_unreported_changes_are_found_by_rescanning(
    serving: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_watch(*_: object) -> None: ...

    monkeypatch.setattr("service.repository.reconciler.watch", no_watch)
    write_version(tmp_path, "1.0")
    async with serving(models=tmp_path, rescan_s=0.2) as http:
        write_version(tmp_path, "2.0")
        await wait_for_version(http, "2.0")


async def test_a_briefly_missing_folder_changes_nothing(
    serving: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replaces a folder by two renames; a scan between them must not fall back to the older version."""
    monkeypatch.setattr("service.repository.reconciler.ABSENCE_GRACE_S", 600)
    write_version(tmp_path, "1.0")
    newest = write_version(tmp_path, "2.0").folder
    async with serving(models=tmp_path, rescan_s=0.1) as http:
        for label, like in (("dark", "3.0"), ("bright", "2.0")):
            newest.rename(tmp_path / ".away")
            await asyncio.sleep(0.5)  # several scans
            assert await ask(http, 200) == ("2.0", label)
            changed = write_version(tmp_path, "2.0", like=like)
            shutil.rmtree(tmp_path / ".away")

            async def is_replaced(sha256: str = changed.sha256) -> bool:
                known = (await http.get("/models/brightness")).json()
                assert known["version"] == "2.0"
                return known["sha256"] == sha256

            await until(is_replaced)
