"""Tests of the archive reader: malicious and oversized archives are rejected."""

import os
import zipfile
from pathlib import Path

import pytest

from models.errors import PackageError
from service.manage import archive


def link(archive: zipfile.ZipFile) -> None:
    entry = zipfile.ZipInfo("weights.onnx")
    entry.external_attr = 0o120777 << 16
    archive.writestr(entry, "/etc/passwd")


def bomb(archive: zipfile.ZipFile) -> None:
    archive.writestr("rdf.yaml", b"0" * 10_000_000)


def twice(archive: zipfile.ZipFile) -> None:
    archive.writestr("rdf.yaml", "a")
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("rdf.yaml", "b")


ARCHIVES = {
    "a way out": (lambda archive: archive.writestr("../../rdf.yaml", "x"), "leads out of its folder"),
    "a way out, by Windows": (lambda archive: archive.writestr("..\\rdf.yaml", "x"), "leads out of its folder"),
    "an absolute path": (lambda archive: archive.writestr("/tmp/rdf.yaml", "x"), "leads out of its folder"),
    "a link": (link, "is a link"),
    "a bomb": (bomb, "1,000,000 bytes"),
    "too many files": (lambda archive: [archive.writestr(f"{n}", "") for n in range(1001)], "more than 1,000 files"),
    "two of a name": (twice, "2 entries with the name 'rdf.yaml'"),
    "no description": (lambda archive: archive.writestr("weights.onnx", "x"), "The package has no description"),
}  # fmt: skip


def read_description(path: Path) -> bytes:
    with archive.open_files(path) as files:
        return files.read(archive.description_of(files))


@pytest.mark.parametrize("case", ARCHIVES)
def test_malicious_archives_are_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    fill, reason = ARCHIVES[case]
    monkeypatch.setattr("service.manage.archive.MAX_BYTES", 1_000_000)
    with zipfile.ZipFile(tmp_path / "source.zip", "w", zipfile.ZIP_DEFLATED) as file:
        fill(file)
    with pytest.raises(PackageError, match=reason):
        read_description(tmp_path / "source.zip")


def test_the_actual_size_of_an_archive_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.manage.archive.MAX_BYTES", 1_000_000)
    target = tmp_path / "source.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as file:
        bomb(file)
    size = (10_000_000).to_bytes(4, "little")
    target.write_bytes(target.read_bytes().replace(size, (1000).to_bytes(4, "little")))
    with pytest.raises(PackageError, match=r"1,000,000 bytes|cannot be unpacked"):
        read_description(target)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_bytes_are_refused_with_the_name_of_their_file(tmp_path: Path, method: int) -> None:
    target = tmp_path / "source.zip"
    with zipfile.ZipFile(target, "w", method) as file:
        file.writestr("rdf.yaml", bytes(range(256)) * 40)
    data = bytearray(target.read_bytes())
    data[38:60] = b"\xff" * 22  # after the entry's header of 30 bytes and its name of 8
    target.write_bytes(data)
    with pytest.raises(PackageError, match=r"rdf\.yaml cannot be unpacked: "):
        read_description(target)


def test_a_file_may_have_a_limit_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "rdf.yaml").write_bytes(b"0" * 1001)
    with zipfile.ZipFile(tmp_path / "source.zip", "w") as file:
        file.write(tmp_path / "rdf.yaml", "rdf.yaml")
    for source in (tmp_path, tmp_path / "source.zip"):
        with archive.open_files(source) as files, pytest.raises(PackageError, match="1,000"):
            files.read("rdf.yaml", limit=1000)


def test_what_is_neither_folder_nor_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "source.zip")
    for source in (tmp_path / "source.zip", Path("/dev/zero")):
        with pytest.raises(PackageError, match="neither a folder nor a zip"):
            read_description(source)
