"""Tests of a file that follows its path."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from service.security.path_file import NotRegular, PathFile, open_regular


@pytest.mark.parametrize("place", [lambda path: os.mkfifo(path), lambda path: path.symlink_to("/dev/zero")])
def test_only_a_regular_file_is_opened_and_nothing_is_waited_for(tmp_path: Path, place: Callable[[Path], None]) -> None:
    place(tmp_path / "file")
    for flags in (os.O_RDONLY, os.O_RDWR | os.O_CREAT):
        with pytest.raises(NotRegular, match="file is not a regular file"):
            open_regular(tmp_path / "file", flags)


def test_another_file_at_the_path_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    file = PathFile(path)
    assert file.in_place() is None  # not opened
    file.open(os.O_CREAT)
    os.write(file.descriptor, b"one")
    status = file.in_place()
    assert status is not None
    assert status.st_size == 3
    path.rename(tmp_path / "former")
    assert file.in_place() is None
    path.write_bytes(b"two")
    assert file.in_place() is None
    file.open(0)
    assert os.pread(file.descriptor, 9, 0) == b"two"


def test_a_file_that_cannot_be_opened_leaves_the_former_one_open(tmp_path: Path) -> None:
    """A descriptor that was closed too early might be given to a socket, and lines would be written to a caller."""
    file = PathFile(tmp_path / "file")
    file.open(os.O_CREAT)
    (tmp_path / "file").unlink()
    with pytest.raises(FileNotFoundError):
        file.open(0)
    os.write(file.descriptor, b"one")
    file.close()
    file.close()
    assert file.descriptor == -1
