"""The folder of all packages goes away, as a lost mount does: what serves goes on, and the operator is told."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.conftest import Client
from tests.service.repository.front_ends import two_front_ends
from tests.service.repository.versions import ask, until, wait_for_version, write_version

pytestmark = pytest.mark.anyio


def removed(models: Path) -> None:
    models.rename(models.with_name("away"))


def emptied(models: Path) -> None:
    """As a mount point is without its mount."""
    removed(models)
    models.mkdir()


def a_file(models: Path) -> None:
    removed(models)
    models.write_text("no folder")


def a_loop(models: Path) -> None:
    removed(models)
    models.symlink_to(models.name)


ABSENT: dict[str, tuple[Callable[[Path], None], str]] = {
    "removed": (removed, "No such file or directory"),
    "emptied": (emptied, "it is empty"),
    "a file": (a_file, "Not a directory"),
    "a loop": (a_loop, "Too many levels of symbolic links"),
}


def back(models: Path) -> None:
    if models.is_dir() and not models.is_symlink():
        models.rmdir()
    else:
        models.unlink(missing_ok=True)
    models.with_name("away").rename(models)


async def warned(http: httpx.AsyncClient, reason: str) -> bool:
    got = await http.get("/readyz")
    assert got.status_code == 200
    return bool(got.json()["warning"]) and got.json()["warning"].endswith(f": {reason}.")


@pytest.mark.parametrize("case", ABSENT)
async def test_what_serves_goes_on_and_the_folder_is_followed_again(serving: Client, tmp_path: Path, case: str) -> None:
    leave, reason = ABSENT[case]
    models = tmp_path / "models"
    write_version(models, "1.0")
    async with serving(models=models, rescan_s=0.2) as http:
        assert "\nstriate_repository_available 1.0\n" in (await http.get("/metrics")).text
        leave(models)
        await until(lambda: warned(http, reason))
        assert "\nstriate_repository_available 0.0\n" in (await http.get("/metrics")).text
        assert await ask(http, 200) == ("1.0", "bright")
        back(models)
        write_version(models, "2.0")
        await wait_for_version(http, "2.0")
        assert (await http.get("/readyz")).json()["warning"] == ""
        assert "\nstriate_repository_available 1.0\n" in (await http.get("/metrics")).text


async def test_a_folder_that_is_back_is_no_longer_absent_whatever_its_rollouts_are(
    serving: Client, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    write_version(models, "1.0")
    async with serving(models=models, rescan_s=0.2) as http:
        removed(models)
        await until(lambda: warned(http, "No such file or directory"))
        (tmp_path / "away/.striate.json").write_text("{")
        back(models)

        async def is_back() -> bool:
            return (await http.get("/readyz")).json()["warning"] == ""

        await until(is_back)
        assert "\nstriate_repository_available 1.0\n" in (await http.get("/metrics")).text
        assert await ask(http, 200) == ("1.0", "bright")


async def test_every_front_end_is_told(serving: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIATE_RESCAN_S", "0.2")
    models = tmp_path / "models"
    write_version(models, "1.0")
    async with two_front_ends(serving, models, None) as both:
        removed(models)
        for http in both:
            await until(lambda http=http: warned(http, "No such file or directory"))
            assert await ask(http, 200) == ("1.0", "bright")


async def test_the_last_model_can_be_taken_away(serving: Client, tmp_path: Path) -> None:
    """The folder of its name stays, so that the repository is not empty."""
    package = write_version(tmp_path, "1.0")
    async with serving(models=tmp_path) as http:
        shutil.rmtree(package.folder)
        assert os.listdir(tmp_path) == ["brightness"]

        async def is_gone() -> bool:
            return (await http.get("/models/brightness")).status_code == 404

        await until(is_gone)
