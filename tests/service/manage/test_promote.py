"""Tests of the command `promote`: pins, canaries and shadows."""

from pathlib import Path

import pytest

from service.api.rollout import Rollout
from service.manage.__main__ import main
from service.manage.promote import served_version, valid_versions
from service.repository import rollouts

pytestmark = pytest.mark.usefixtures("three_versions")


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


def test_the_version_served_is_the_pinned_or_the_newest_valid_one(models: Path) -> None:
    assert valid_versions(models, "brightness") == ["3.0", "2.0", "1.0"]
    (models / "brightness/3.0/model.onnx").write_bytes(b"")
    assert valid_versions(models, "brightness") == ["2.0", "1.0"]
    assert served_version(models, "brightness", Rollout()) == "2.0"
    assert served_version(models, "brightness", Rollout(pinned="1.0")) == "1.0"
    assert served_version(models, "resnet", Rollout()) is None


def test_an_invalid_version_is_not_promoted(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (models / "brightness/2.0/model.onnx").write_bytes(b"")
    assert main(["promote", "brightness", "2.0"]) == 1
    assert "has been changed" in capsys.readouterr().err
    assert main(["promote", "brightness", "2.0", "--end"]) == 0  # it may lose a role all the same
    assert rollouts.read(models).of("brightness") == Rollout()
