"""Tests of the archive reader: malicious and oversized archives are rejected."""

import zipfile
from pathlib import Path

import pytest

from tests.service.manage.import_command import is_empty, run_import


def link(archive: zipfile.ZipFile) -> None:
    entry = zipfile.ZipInfo("weights.onnx")
    entry.external_attr = 0o120777 << 16
    archive.writestr(entry, "/etc/passwd")


def bomb(archive: zipfile.ZipFile) -> None:
    archive.writestr("rdf.yaml", b"0" * 10_000_000)


ARCHIVES = {
    "a way out": (lambda archive: archive.writestr("../../rdf.yaml", "x"), "leads out of its folder"),
    "a way out, by Windows": (lambda archive: archive.writestr("..\\rdf.yaml", "x"), "leads out of its folder"),
    "an absolute path": (lambda archive: archive.writestr("/tmp/rdf.yaml", "x"), "leads out of its folder"),
    "a link": (link, "is a link"),
    "a bomb": (bomb, "1,000,000 bytes"),
    "too many files": (lambda archive: [archive.writestr(f"{n}", "") for n in range(1001)], "more than 1,000 files"),
    "no description": (lambda archive: archive.writestr("weights.onnx", "x"), "The package has no description"),
}  # fmt: skip


@pytest.mark.parametrize("case", ARCHIVES)
def test_malicious_archives_are_rejected(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    fill, reason = ARCHIVES[case]
    monkeypatch.setattr("service.manage.archive.MAX_BYTES", 1_000_000)
    with zipfile.ZipFile(tmp_path / "source.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        fill(archive)
    assert run_import(tmp_path / "source.zip") == 1
    assert reason in capsys.readouterr().err
    assert is_empty(models)


def test_the_actual_size_of_an_archive_is_limited(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.manage.archive.MAX_BYTES", 1_000_000)
    target = tmp_path / "source.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        bomb(archive)
    size = (10_000_000).to_bytes(4, "little")
    target.write_bytes(target.read_bytes().replace(size, (1000).to_bytes(4, "little")))
    assert run_import(target) == 1
    assert capsys.readouterr().err.startswith("striate: ")
    assert is_empty(models)
