"""Tests of the management commands, and of a running service that applies their changes."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.api.rollout import Rollout
from service.manage.__main__ import main
from service.repository import rollouts
from service.repository.errors import InvalidRollouts
from tests import tiny
from tests.conftest import Client
from tests.service.repository.versions import ask, states, until, wait_for_version, write_version


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for number in ("1.0", "2.0", "3.0"):
        write_version(tmp_path, number)
    monkeypatch.setenv("STRIATE_MODELS", str(tmp_path))
    return tmp_path


def test_list_prints_every_version_with_its_roles(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.blobs(models).weights.write_bytes(b"")
    assert main(["promote", "brightness", "1.0"]) == 0
    assert main(["promote", "brightness", "2.0", "--canary", "12.5"]) == 0
    capsys.readouterr()
    assert main(["list"]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert lines[0][:2] == ["blobs", "1.0"]
    assert lines[0][2].startswith("invalid: model.onnx has been changed")
    assert lines[1:] == [
        ["brightness", "3.0", "valid", "former"],
        ["brightness", "2.0", "valid", "canary 12.5 %"],
        ["brightness", "1.0", "valid", "pinned"],
    ]


def test_a_version_is_a_canary_or_a_shadow_until_that_ends(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options, message in (
        (["--canary", "5"], "canary 5 %"),
        (["--shadow"], "shadow"),
        (["--canary", "10"], "canary 10 %"),
        (["--end"], "neither canary nor shadow"),
    ):
        assert main(["promote", "brightness", "2.0", *options]) == 0
        assert capsys.readouterr().out == f"brightness 2.0: {message}\n"
    assert rollouts.read(models).of("brightness") == Rollout()


def test_verify_reports_valid_and_invalid_packages(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify"]) == 0
    assert capsys.readouterr().out.count("verified on CPUExecutionProvider") == 3
    tiny.blobs(models).weights.write_bytes(b"")
    assert main(["verify"]) == 1
    assert "blobs 1.0: model.onnx has been changed" in capsys.readouterr().out
    assert main(["verify", str(models / "brightness/2.0")]) == 0


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


def test_a_rollout_with_an_unknown_field_is_invalid(models: Path) -> None:
    (models / rollouts.FILE).write_text('{"models": {"brightness": {"pined": "1.0"}}}')
    with pytest.raises(InvalidRollouts, match=r"models\.brightness\.pined"):
        rollouts.read(models)


def test_concurrent_changes_are_all_saved(models: Path) -> None:
    def unload(n: int) -> None:
        rollouts.change(models, f"model-{n}", lambda plan: plan.model_copy(update={"unloaded": True}))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(unload, range(24)))
    saved = rollouts.read(models)
    assert saved.revision == len(saved.models) == 24
    assert [each.name for each in models.glob(".striate*")] == [rollouts.FILE]
