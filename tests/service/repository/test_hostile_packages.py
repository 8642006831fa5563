"""Packages that are made to harm are refused one by one: what serves goes on, and what comes after them is served."""

from pathlib import Path

import pytest

from tests.conftest import Client
from tests.service.repository.hostile_packages import CASES, ENDLESS, link, write_hostile
from tests.service.repository.versions import ask, until, wait_for_version, write_version

pytestmark = pytest.mark.anyio
NAMES = {case: f"case-{n:02}" for n, case in enumerate(CASES)}


@pytest.mark.slow
async def test_each_is_refused_with_its_reason_and_the_others_serve(serving: Client, tmp_path: Path) -> None:
    models = tmp_path / "models"
    write_version(models, "1.0")
    async with serving(models=models) as http:
        for case, (damage, _) in CASES.items():
            write_hostile(models, NAMES[case], "1.0", damage)
        write_version(models, "1.0", name="sound").folder.parent.rename(models / "not text \udcfe\n")
        sound = write_version(models, "1.0", name="no-version").folder
        sound.rename(sound.with_name("\udcff"))

        async def all_are_judged() -> bool:
            assert await ask(http, 200) == ("1.0", "bright")
            return len((await http.get("/models")).json()["models"]) == len(CASES) + 3

        await until(all_are_judged)
        assert (await http.get("/readyz")).json() == {"status": "ready", "warning": ""}
        reasons = {model["name"]: model["reason"] for model in (await http.get("/models")).json()["models"]}
        assert reasons[r"not text \udcfe\n"] == reasons["no-version"] == "The names of its folders are not UTF-8."
        for case, (_, expected) in CASES.items():
            reason = reasons[NAMES[case]]
            assert reason is None if expected is None else expected in reason, case
            assert len(reason or "") <= 300
        assert (await http.get("/metrics")).status_code == 200
        write_version(models, "2.0")
        await wait_for_version(http, "2.0")


@pytest.mark.slow
async def test_one_that_never_ends_holds_up_nothing(
    serving: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for patience in ("PATIENCE_S", "FIRST_PATIENCE_S"):
        monkeypatch.setattr(f"service.repository.prover.{patience}", 1.0)
    models = tmp_path / "models"
    write_version(models, "1.0")
    write_hostile(models, "brightness", "2.0", ENDLESS)
    async with serving(models=models, proof_timeout_s=4) as http:  # it is there from the start
        assert await ask(http, 200) == ("1.0", "bright")
        versions = (await http.get("/models/brightness")).json()["versions"]
        assert [version["reason"] for version in versions] == ["It is still being proved.", ""]
        write_version(models, "1.0", name="other")

        async def is_followed() -> bool:
            return (await http.get("/models/other")).status_code == 200

        await until(is_followed)

        async def is_refused() -> bool:
            versions = (await http.get("/models/brightness")).json()["versions"]
            return versions[0]["reason"] == "It was not proved within 4 s: running did not end."

        await until(is_refused)
        write_version(models, "3.0")
        await wait_for_version(http, "3.0")


@pytest.mark.slow
async def test_many_versions_of_one_model_hold_up_no_other(
    serving: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for patience in ("PATIENCE_S", "FIRST_PATIENCE_S"):
        monkeypatch.setattr(f"service.repository.prover.{patience}", 2.0)
    models = tmp_path / "models"
    write_version(models, "1.0")
    for n in range(9):
        write_hostile(models, "a-crowd", f"{n}.0", ENDLESS)
    for n in range(1000):
        (models / "a-crowd" / f"9.{n}").mkdir()
    async with serving(models=models, proof_timeout_s=600) as http:
        assert await ask(http, 200) == ("1.0", "bright")
        write_version(models, "1.0", name="other")

        async def is_followed() -> bool:
            return (await http.get("/models/other")).status_code == 200

        await until(is_followed)
        reasons = [version["reason"] for version in (await http.get("/models/a-crowd")).json()["versions"]]
        assert reasons.count("rdf.yaml cannot be read: it is missing, or its folder cannot be read.") == 1000
        assert reasons.count("It is still being proved.") == 9


async def test_a_file_that_becomes_a_link_is_not_handed_out(serving: Client, tmp_path: Path) -> None:
    package = write_version(tmp_path, "1.0")
    async with serving(models=tmp_path) as http:
        readme = "/models/brightness/files/README.md"
        assert (await http.get(readme)).text == "Tiny."
        link("README.md", "/etc/hostname")(package.folder)
        got = await http.get(readme)
        assert (got.status_code, got.json()["code"]) == (503, "not_ready")
        assert "README.md is a link" in got.json()["error"]
