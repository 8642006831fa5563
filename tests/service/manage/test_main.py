"""Tests of the command line: failures with their reasons, and a running service that applies changes."""

from pathlib import Path

import pytest

from service.manage.__main__ import main
from service.repository import rollouts
from tests.conftest import Client
from tests.service.repository.versions import ask, states, until, wait_for_version

pytestmark = pytest.mark.usefixtures("three_versions")


@pytest.mark.anyio
async def test_a_running_service_applies_changes(models: Path, serving: Client) -> None:
    async with serving(models=models) as http:
        assert main(["promote", "brightness", "1.0"]) == 0
        await wait_for_version(http, "1.0")
        assert await ask(http, 100) == ("1.0", "dark")
        assert main(["promote", "brightness", "2.0", "--shadow"]) == 0

        async def shadowed() -> bool:
            return (await states(http))["2.0"] == ("ready", "shadow")

        await until(shadowed)
        assert main(["rollback", "brightness"]) == 0
        await wait_for_version(http, "3.0")
        assert main(["promote", "brightness", "newest"]) == 0
        assert main(["rollback", "brightness"]) == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["promote", "brightness", "9"], "There is no brightness 9 in"),
        (["promote", "brightness", "newest", "--shadow"], "not 'newest'"),
        (["promote", "brightness", "1.0", "--canary", "101"], "at most 100"),
        (["promote", "brightness", "3.0", "--canary", "5"], "3.0 already serves"),
        (["rollback", "resnet"], "no earlier version to roll back to"),
        (["import", "/nowhere"], "No such file"),
        (["import", __file__], "neither a folder nor a zip"),
    ],
)
def test_a_failed_command_prints_its_reason(
    models: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    assert main(arguments) == 1
    assert reason in capsys.readouterr().err
    assert rollouts.read(models).revision == 0
