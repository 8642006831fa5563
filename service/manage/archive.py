"""The files of a package from elsewhere, a folder or a zip; nothing is unpacked, so nothing can be overwritten."""

import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Protocol

from models.errors import PackageError

MOST_FILES = 1000
MOST_BYTES = 4 * 2**30  # of all files together, unpacked
_DESCRIPTIONS = ("rdf.yaml", "bioimageio.yaml", "model.yaml")


class Files(Protocol):
    """Plain files of one folder, by name."""

    names: frozenset[str]

    def read(self, name: str) -> bytes:
        """Raises PackageError where there is none of that name, or it is too large."""


@contextmanager
def opened(path: Path) -> Iterator[Files]:
    """A folder or a zip. Raises PackageError; OSError where it is not there or cannot be read."""
    if path.is_dir():
        yield _Folder(path)
        return
    path.stat()
    if not zipfile.is_zipfile(path):
        raise PackageError(f"{path} is neither a folder nor a zip.")
    with zipfile.ZipFile(path) as archive:
        yield _Zip(archive)


def description_of(files: Files) -> str:
    """The name of the file that describes the package. Raises PackageError."""
    for name in _DESCRIPTIONS:
        if name in files.names:
            return name
    raise PackageError(f"There is no description in it: none of {', '.join(_DESCRIPTIONS)}.")


def plain(name: object) -> str:
    """A file's name that a description gives. Raises PackageError for a URL or a way into another folder."""
    if not isinstance(name, str) or not name or PurePosixPath(name).name != name or "\\" in name or "://" in name:
        raise PackageError(f"{name!r:.200} is no file of the package: nothing is fetched, and no other folder is read.")
    return name


class _Folder:
    def __init__(self, path: Path) -> None:
        self._path = path
        self.names = frozenset(file.name for file in path.iterdir() if file.is_file() and not file.is_symlink())

    def read(self, name: str) -> bytes:
        if plain(name) not in self.names:
            raise PackageError(f"The package has no file {name!r}.")
        if (self._path / name).stat().st_size > MOST_BYTES:
            raise PackageError(f"{name} is larger than {MOST_BYTES:,} bytes.")
        return (self._path / name).read_bytes()


class _Zip:
    """An archive in which every entry keeps to itself; what lies in folders of it is left alone."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        entries = archive.infolist()
        if len(entries) > MOST_FILES or sum(entry.file_size for entry in entries) > MOST_BYTES:
            raise PackageError(f"The archive holds more than {MOST_FILES:,} files or {MOST_BYTES:,} bytes.")
        for entry in entries:
            _check_entry(entry)
        self._left = MOST_BYTES
        self.names = frozenset(entry.filename for entry in entries if "/" not in entry.filename)

    def read(self, name: str) -> bytes:
        """Counts what really comes: the sizes in an archive are its maker's word."""
        if plain(name) not in self.names:
            raise PackageError(f"The package has no file {name!r}.")
        try:
            with self._archive.open(name) as file:
                data = file.read(self._left + 1)
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError) as error:
            raise PackageError(f"{name} cannot be unpacked: {error!s:.200}.") from error
        self._left -= len(data)
        if self._left < 0:
            raise PackageError(f"The archive unpacks to more than {MOST_BYTES:,} bytes.")
        return data


def _check_entry(entry: zipfile.ZipInfo) -> None:
    """Raises PackageError for a name that leads out of the folder, and for a link."""
    path = PurePosixPath(entry.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in entry.filename:
        raise PackageError(f"The archive's entry {entry.filename!r:.200} leads out of its folder.")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise PackageError(f"The archive's entry {entry.filename!r:.200} is a link.")
