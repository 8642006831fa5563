"""Tests of the command `list`: every version with its state and its roles."""

from pathlib import Path

import pytest

from service.api.rollout import CanaryRollout, Rollout
from service.manage.__main__ import main
from service.manage.list_models import roles
from tests import tiny

pytestmark = pytest.mark.usefixtures("three_versions")


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


def test_list_prints_names_that_are_no_text(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.blobs(models).folder.rename(models / "blobs" / "\udcff\n")
    assert main(["list", "--model", "blobs"]) == 0
    assert capsys.readouterr().out.startswith("blobs\t\\udcff\\n\tinvalid: ")


def test_list_prints_only_the_model_asked_for(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.blobs(models)
    assert main(["list", "--model", "blobs"]) == 0
    assert capsys.readouterr().out == "blobs\t1.0\tvalid\n"


@pytest.mark.parametrize(
    ("rollout", "expected"),
    [
        (Rollout(), []),
        (Rollout(pinned="2.0", former="2.0"), []),
        (Rollout(pinned="1.0", former="1.0"), ["pinned", "former"]),
        (Rollout(shadow="1.0", canary=CanaryRollout(version="2.0", percent=5)), ["shadow"]),
        (
            Rollout(canary=CanaryRollout(version="1.0", percent=12.5), unloaded=True),
            ["canary 12.5 %", "model unloaded"],
        ),
    ],
)
def test_a_version_has_the_roles_of_the_rollout(rollout: Rollout, expected: list[str]) -> None:
    assert roles(rollout, "1.0") == expected
