"""Sources that are made to harm: an import refuses them in a sentence, and leaves nothing behind."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import tiny
from tests.service.manage import foreign
from tests.service.manage.import_command import BARE, is_empty, run_import
from tests.service.repository.hostile_packages import ENDLESS, Damage, bomb, vast

ONNX = (*BARE, "--classes", "a,b")


def described_as(text: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / "rdf.yaml").write_bytes(text)


def fifo(folder: Path) -> None:
    (folder / "weights.onnx").unlink()
    os.mkfifo(folder / "weights.onnx")


SOURCES: dict[str, tuple[Callable[[Path], object], str]] = {
    "aliases that multiply": (described_as(bomb()), "too many values"),
    "nested YAML": (described_as(b"[" * 100_000), "more than 64 levels"),
    "600 MB of blanks": (lambda folder: os.truncate(folder / "rdf.yaml", 600_000_000), "at most 1,048,576"),
    "a tag": (described_as(b"!!python/object/apply:os.system ['false']"), "has the tag"),
    "a FIFO": (fifo, "has no file"),
    "a striate package of nothing": (described_as(b"striate: 1"), "not a description written by Striate"),
}


@pytest.mark.parametrize("case", SOURCES)
def test_a_hostile_package_is_refused_in_a_sentence(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    damage, reason = SOURCES[case]
    source = foreign.bioimageio(tmp_path / "source", form="0.4.10")
    damage(source)
    assert run_import(source) == 1
    said = capsys.readouterr().err
    assert reason in said
    assert said.count("\n") == 1
    assert is_empty(models)


def test_a_device_is_not_read(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "network.onnx").symlink_to("/dev/zero")
    assert run_import(tmp_path / "network.onnx", *ONNX) == 1
    assert "is a device" in capsys.readouterr().err
    assert is_empty(models)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "reason"),
    [(ENDLESS, "It was not proved within 5 s: running did not end"), (vast(), "MiB of memory to be proved")],
)
def test_a_network_that_takes_all_is_refused(
    models: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    damage: Damage,
    reason: str,
) -> None:
    monkeypatch.setenv("STRIATE_PROOF_TIMEOUT_S", "5")
    source = tiny.brightness(tmp_path / "export").folder
    damage(source)
    assert run_import(source) == 1
    assert reason in capsys.readouterr().err
    assert is_empty(models)
