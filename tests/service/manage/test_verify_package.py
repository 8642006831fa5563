"""Tests of the command `verify`: valid and invalid packages."""

from pathlib import Path

import pytest

from service.manage.__main__ import main
from tests import tiny


@pytest.mark.usefixtures("three_versions")
def test_verify_reports_valid_and_invalid_packages(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify"]) == 0
    assert capsys.readouterr().out.count("verified on CPUExecutionProvider") == 3
    tiny.blobs(models).weights.write_bytes(b"")
    assert main(["verify"]) == 1
    assert "blobs 1.0: model.onnx has been changed" in capsys.readouterr().out
    assert main(["verify", str(models / "brightness/2.0")]) == 0


def test_a_folder_without_packages_is_a_failure(models: Path) -> None:
    assert main(["verify"]) == 1
