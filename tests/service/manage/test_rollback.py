"""Tests of the command `rollback`: the previous version, and back again."""

from pathlib import Path

import pytest

from service.manage.__main__ import main
from service.repository import rollouts

pytestmark = pytest.mark.usefixtures("three_versions")


def test_a_rollback_serves_the_next_older_version_then_the_former_one(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for version in ("2.0", "3.0", "2.0"):
        assert main(["rollback", "brightness"]) == 0
        assert capsys.readouterr().out == f"brightness {version} is served now\n"
        assert rollouts.read(models).of("brightness").pinned == version


def test_an_invalid_version_is_passed_over(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (models / "brightness/2.0/model.onnx").write_bytes(b"")
    assert main(["rollback", "brightness"]) == 0
    assert capsys.readouterr().out == "brightness 1.0 is served now\n"
