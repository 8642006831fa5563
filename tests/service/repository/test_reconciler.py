"""Versions that come, go and are replaced while callers ask: no request is lost, late or answered by a mixture."""

import asyncio
import shutil
from pathlib import Path

import httpx
import pytest

from tests import tiny
from tests.conftest import Client
from tests.service.gated_sessions import Gate
from tests.service.repository.versions import Watched, ask, everyone, states, switched, until, version

pytestmark = pytest.mark.anyio
CALLERS = 16


async def keep_asking(http: httpx.AsyncClient, answers: list[tuple[str, str, int]], enough: asyncio.Event) -> None:
    """One caller: a request after the other; a version that it has seen replaced never answers it again."""
    seen: list[str] = []
    while not enough.is_set():
        for value in (100, 200):
            number, label = await ask(http, value)
            answers.append((number, label, value))
            if number not in seen:
                seen.append(number)
            assert number == seen[-1]


async def test_a_new_version_takes_over_from_16_callers_without_losing_one(serving: Client, tmp_path: Path) -> None:
    version(tmp_path, "1.0")
    sessions, answers, enough = Watched(), [], asyncio.Event()
    async with serving(sessions, models=tmp_path) as http, asyncio.TaskGroup() as callers:
        for _ in range(CALLERS):
            callers.create_task(keep_asking(http, answers, enough))
        await until(lambda: asyncio.sleep(0, len(answers) > 2 * CALLERS))
        version(tmp_path, "2.0")
        await switched(http, "2.0")
        before = len(answers)
        await until(lambda: asyncio.sleep(0, len(answers) > before + 4 * CALLERS))
        await until(lambda: asyncio.sleep(0, sessions.count() == 1))
        enough.set()
    assert everyone(answers) == {"1.0", "2.0"}
    assert {number for number, _, _ in answers[before + CALLERS :]} == {"2.0"}


async def test_who_began_with_a_version_ends_with_it_and_then_it_is_freed(serving: Client, tmp_path: Path) -> None:
    version(tmp_path, "1.0")
    gate, opened = Gate(), Watched()

    def session(package):
        return opened(package) if package.spec.version == "2.0" else gate.session(package)

    async with serving(session, models=tmp_path) as http:
        gate.shut()
        begun = asyncio.create_task(ask(http, 200))
        await until(lambda: asyncio.sleep(0, gate.runs[-1:] == [1]))
        version(tmp_path, "2.0")
        await switched(http, "2.0")
        assert await ask(http, 200) == ("2.0", "dark")  # and it waits for nobody
        assert not begun.done()
        gate.open()
        assert await begun == ("1.0", "bright")


async def test_a_version_replaced_in_one_step_is_another(serving: Client, tmp_path: Path) -> None:
    first = version(tmp_path, "1.0")
    async with serving(models=tmp_path) as http:
        assert await ask(http, 200) == ("1.0", "bright")
        second = version(tmp_path, "1.0", like="2.0")
        assert second.sha256 != first.sha256

        async def replaced() -> bool:
            return (await http.get("/models/brightness")).json()["sha256"] == second.sha256

        await until(replaced)
        assert await ask(http, 200) == ("1.0", "dark")


async def test_a_bad_package_is_refused_and_the_old_version_goes_on(serving: Client, tmp_path: Path) -> None:
    version(tmp_path / "elsewhere", "2.0").weights.write_bytes(b"not what rdf.yaml says")
    version(tmp_path / "models", "1.0")
    async with serving(models=tmp_path / "models") as http:
        (tmp_path / "elsewhere/brightness/2.0").rename(tmp_path / "models/brightness/2.0")

        async def refused() -> bool:
            return (await states(http)).get("2.0") == ("invalid", None)

        await until(refused)
        assert await ask(http, 200) == ("1.0", "bright")
        assert (await http.get("/readyz")).status_code == 200
        known = (await http.get("/models")).json()["models"]
        (reason,) = [model["reason"] for model in known if model["status"] == "invalid"]
        assert "model.onnx has been changed" in reason
        version(tmp_path / "models", "2.0")  # mended
        await switched(http, "2.0")
        assert await states(http) == {"2.0": ("ready", "serves"), "1.0": ("inactive", None)}


async def test_a_version_whose_own_folder_turns_bad_goes_on(serving: Client, tmp_path: Path) -> None:
    version(tmp_path, "1.0")
    newest = version(tmp_path, "2.0")
    async with serving(models=tmp_path) as http:
        newest.weights.write_bytes(b"")

        async def refused() -> bool:
            return any(model["status"] == "invalid" for model in (await http.get("/models")).json()["models"])

        await until(refused)
        assert await ask(http, 200) == ("2.0", "dark")


async def test_a_folder_that_is_written_slowly_serves_when_it_is_whole(serving: Client, tmp_path: Path) -> None:
    whole = version(tmp_path / "elsewhere", "2.0").folder
    version(tmp_path / "models", "1.0")
    async with serving(models=tmp_path / "models") as http:
        slow = tmp_path / "models/brightness/2.0"
        slow.mkdir()
        for file in sorted(whole.iterdir(), key=lambda file: file.name != "rdf.yaml"):  # the description comes first
            data = file.read_bytes()
            (slow / file.name).write_bytes(data[: len(data) // 2])
            await asyncio.sleep(0.2)
            assert await ask(http, 200) == ("1.0", "bright")
            (slow / file.name).write_bytes(data)
        await switched(http, "2.0")


async def test_a_version_that_is_removed_makes_way_for_the_next_older(serving: Client, tmp_path: Path) -> None:
    version(tmp_path, "1.0")
    newest = version(tmp_path, "2.0")
    tiny.blobs(tmp_path)
    async with serving(models=tmp_path) as http:
        assert await ask(http, 200) == ("2.0", "dark")
        shutil.rmtree(newest.folder)
        await switched(http, "1.0")
        assert await ask(http, 200) == ("1.0", "bright")
        shutil.rmtree(newest.folder.parent)

        async def gone() -> bool:
            return (await http.get("/models/brightness")).status_code == 404

        await until(gone)


async def test_a_model_that_comes_later_is_taken_in(serving: Client, tmp_path: Path) -> None:
    async with serving(models=tmp_path, wanted=("brightness",)) as http:
        assert (await http.get("/readyz")).status_code == 503
        version(tmp_path, "1.0")

        async def ready() -> bool:
            return (await http.get("/readyz")).status_code == 200

        await until(ready)
        assert await ask(http, 200) == ("1.0", "bright")


async def test_what_the_system_does_not_tell_is_found_by_looking(
    serving: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def blind(*_: object) -> None: ...

    monkeypatch.setattr("service.repository.reconciler.watch", blind)
    version(tmp_path, "1.0")
    async with serving(models=tmp_path, rescan_s=0.2) as http:
        version(tmp_path, "2.0")
        await switched(http, "2.0")


async def test_a_folder_that_is_away_for_a_moment_changes_nothing(
    serving: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two renames put a folder in another's place; a look between the two must not fall back to the older version."""
    monkeypatch.setattr("service.repository.reconciler._AWAY_S", 600)  # a moment, on the slowest of machines
    version(tmp_path, "1.0")
    newest = version(tmp_path, "2.0").folder
    async with serving(models=tmp_path, rescan_s=0.1) as http:
        for label, like in (("dark", "3.0"), ("bright", "2.0")):
            newest.rename(tmp_path / ".away")
            await asyncio.sleep(0.5)  # some looks
            assert await ask(http, 200) == ("2.0", label)
            changed = version(tmp_path, "2.0", like=like)
            shutil.rmtree(tmp_path / ".away")

            async def replaced(sha256: str = changed.sha256) -> bool:
                known = (await http.get("/models/brightness")).json()
                assert known["version"] == "2.0"
                return known["sha256"] == sha256

            await until(replaced)
