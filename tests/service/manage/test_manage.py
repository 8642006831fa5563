"""The operator's commands on a folder, and that a running service follows them."""

from pathlib import Path

import pytest

from service.errors import InvalidRollouts
from service.manage.__main__ import main
from service.repository import rollouts
from tests import tiny
from tests.conftest import Client
from tests.service.repository.versions import ask, states, switched, until, version


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for number in ("1.0", "2.0", "3.0"):
        version(tmp_path, number)
    monkeypatch.setenv("STRIATE_MODELS", str(tmp_path))
    return tmp_path


def test_list_says_every_version_and_what_was_said_of_it(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.blobs(models).weights.write_bytes(b"")
    assert main(["promote", "brightness", "1.0"]) == 0
    assert main(["promote", "brightness", "2.0", "--canary", "12.5"]) == 0
    capsys.readouterr()
    assert main(["list"]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert lines[0][:2] == ["blobs", "1.0"]
    assert lines[0][2].startswith("broken: model.onnx has been changed")
    assert lines[1:] == [
        ["brightness", "3.0", "whole", "former"],
        ["brightness", "2.0", "whole", "canary 12.5 %"],
        ["brightness", "1.0", "whole", "pinned"],
    ]


def test_a_version_is_a_canary_or_a_shadow_until_that_ends(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options, said in (
        (["--canary", "5"], "canary 5 %"),
        (["--shadow"], "shadow"),
        (["--canary", "10"], "canary 10 %"),
        (["--end"], "neither canary nor shadow"),
    ):
        assert main(["promote", "brightness", "2.0", *options]) == 0
        assert capsys.readouterr().out == f"brightness 2.0: {said}\n"
    assert rollouts.read(models).of("brightness") == rollouts.Rollout()


def test_verify_proves_and_says_what_fails(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify"]) == 0
    assert capsys.readouterr().out.count("proved on CPUExecutionProvider") == 3
    tiny.blobs(models).weights.write_bytes(b"")
    assert main(["verify"]) == 1
    assert "blobs 1.0: model.onnx has been changed" in capsys.readouterr().out
    assert main(["verify", str(models / "brightness/2.0")]) == 0


@pytest.mark.anyio
async def test_a_running_service_follows(models: Path, serving: Client) -> None:
    async with serving(models=models) as http:
        assert main(["promote", "brightness", "1.0"]) == 0
        await switched(http, "1.0")
        assert await ask(http, 100) == ("1.0", "dark")
        assert main(["promote", "brightness", "2.0", "--shadow"]) == 0

        async def shadowed() -> bool:
            return (await states(http))["2.0"] == ("ready", "shadow")

        await until(shadowed)
        assert main(["rollback", "brightness"]) == 0
        await switched(http, "3.0")
        assert main(["promote", "brightness", "newest"]) == 0
        assert main(["rollback", "brightness"]) == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["promote", "brightness", "9"], "There is no brightness 9 in"),
        (["promote", "brightness", "newest", "--shadow"], "'newest' is none"),
        (["promote", "brightness", "1.0", "--canary", "101"], "at most 100"),
        (["promote", "brightness", "3.0", "--canary", "5"], "3.0 cannot serve: it answers already"),
        (["rollback", "resnet"], "there is none"),
        (["import", "/nowhere"], "No such file"),
        (["import", __file__], "neither a folder nor a zip"),
    ],
)
def test_what_cannot_be_done_is_said(
    models: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    assert main(arguments) == 1
    assert reason in capsys.readouterr().err
    assert rollouts.read(models).revision == 0


def test_a_plan_with_an_unknown_field_is_no_plan(models: Path) -> None:
    (models / rollouts.FILE).write_text('{"models": {"brightness": {"pined": "1.0"}}}')
    with pytest.raises(InvalidRollouts, match=r"models\.brightness\.pined"):
        rollouts.read(models)


def test_changes_at_the_same_time_are_all_kept(models: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def say(n: int) -> None:
        rollouts.change(models, f"model-{n}", lambda plan: plan.model_copy(update={"unloaded": True}))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(say, range(24)))
    kept = rollouts.read(models)
    assert kept.revision == len(kept.models) == 24
    assert [each.name for each in models.glob(".striate*")] == [rollouts.FILE]
