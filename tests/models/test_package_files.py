"""Tests of bounded reading: regular files only, no links, never more than is allowed."""

import hashlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from models.closed import File
from models.errors import PackageError
from models.package_files import check_file, read_file, read_verified, verify_digest


def bound_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.path.relpath(path))


NO_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "FIFO": (os.mkfifo, "is a FIFO"),
    "folder": (Path.mkdir, "is a folder"),
    "socket": (bound_socket, "is a socket"),
    "link to a file": (lambda path: path.symlink_to("/etc/hostname"), "is a link"),
    "link to itself": (lambda path: path.symlink_to(path.name), "is a link"),
    "link to nothing": (lambda path: path.symlink_to("nothing"), "is a link"),
    "nothing": (lambda path: None, "cannot be read: No such file"),
    "too long": (lambda path: path.write_bytes(b"x" * 11), "has 11 bytes; at most 10 are allowed"),
}


@pytest.mark.parametrize("case", NO_FILES)
def test_what_is_no_regular_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    make, reason = NO_FILES[case]
    monkeypatch.chdir(tmp_path)  # a socket's path may have 108 bytes
    make(tmp_path / "file")
    for read in (read_file, check_file):
        with pytest.raises(PackageError, match=f"file {reason}"):
            read(tmp_path / "file", limit=10)


def test_a_device_is_refused() -> None:
    with pytest.raises(PackageError, match="zero is a device"):
        read_file(Path("/dev/zero"), limit=10)


def test_a_file_whose_size_is_not_its_own_is_refused() -> None:
    """The kernel's files have no size, and any content."""
    with pytest.raises(PackageError, match="environ is being written"):
        read_file(Path("/proc/self/environ"), limit=10)


@pytest.mark.parametrize("size", [0, 1, 2**20, 2**20 + 1])
def test_a_file_is_read_whole(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "file").write_bytes(content)
    file = File(source="file", sha256=hashlib.sha256(content).hexdigest())
    assert read_file(tmp_path / "file", limit=size) == content
    assert read_verified(tmp_path, file, limit=size) == content
    verify_digest(tmp_path, file, limit=size)


@pytest.mark.parametrize("read", [read_verified, verify_digest])
def test_a_changed_file_is_found(tmp_path: Path, read: Callable[..., object]) -> None:
    (tmp_path / "file").write_bytes(b"other")
    with pytest.raises(PackageError, match="file has been changed: its sha256 is d9298a10d1b0735837dc4bd85dac641b"):
        read(tmp_path, File(source="file", sha256="0" * 64), limit=10)


def test_a_file_that_grows_or_shrinks_meanwhile_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, fstat = tmp_path / "file", os.fstat
    file.write_bytes(b"x" * 100)

    def fstat_then(change: int) -> Callable[[int], os.stat_result]:
        def looked_at(descriptor: int) -> os.stat_result:
            status = fstat(descriptor)
            os.truncate(file, 100 + change)
            return status

        return looked_at

    for change in (1, 10_000_000, -1, -100):
        file.write_bytes(b"x" * 100)
        monkeypatch.setattr(os, "fstat", fstat_then(change))
        with pytest.raises(PackageError, match="is being written: it had 100 bytes"):
            read_file(file, limit=2**30)
        monkeypatch.undo()
