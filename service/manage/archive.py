"""Archive reader: the files of a foreign package, in a folder or a zip, which is never unpacked to disk."""

import stat
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Protocol

from models.errors import PackageError, quoted
from models.package_files import read_file

MAX_FILES = 1000
MAX_BYTES = 4 * 2**30  # total, uncompressed
_DESCRIPTIONS = ("rdf.yaml", "bioimageio.yaml", "model.yaml")


class Files(Protocol):
    """The plain files of one folder, by name."""

    names: frozenset[str]

    def read(self, name: str, *, limit: int = MAX_BYTES) -> bytes:
        """Reads a file. Raises PackageError if it does not exist or is too large."""


@contextmanager
def open_files(path: Path) -> Iterator[Files]:
    """Opens a folder or a zip. Raises PackageError; OSError if it cannot be read."""
    if path.is_dir():
        yield _PackageFolder(path)
        return
    if not stat.S_ISREG(path.stat().st_mode) or not zipfile.is_zipfile(path):
        raise PackageError(f"{path} is neither a folder nor a zip file.")
    with zipfile.ZipFile(path) as archive:
        yield _ZipFile(archive)


def description_of(files: Files) -> str:
    """Returns the name of the package's description. Raises PackageError."""
    for name in _DESCRIPTIONS:
        if name in files.names:
            return name
    raise PackageError(f"The package has no description: none of {', '.join(_DESCRIPTIONS)}.")


def checked_name(name: object) -> str:
    """Checks a file name in a description. Raises PackageError for a URL or a path into another folder."""
    if not isinstance(name, str) or not name or PurePosixPath(name).name != name or "\\" in name or "://" in name:
        raise PackageError(f"{quoted(name)} is not a file of the package: URLs and other folders are not read.")
    return name


class _PackageFolder:
    """A folder without its links and subfolders."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.names = frozenset(file.name for file in path.iterdir() if file.is_file() and not file.is_symlink())

    def read(self, name: str, *, limit: int = MAX_BYTES) -> bytes:
        if checked_name(name) not in self.names:
            raise PackageError(f"The package has no file {quoted(name)}.")
        return read_file(self._path / name, limit=limit)


class _ZipFile:
    """A zip archive without links or paths out of it; files in its subfolders are ignored."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        entries = archive.infolist()
        if len(entries) > MAX_FILES or sum(entry.file_size for entry in entries) > MAX_BYTES:
            raise PackageError(f"The archive holds more than {MAX_FILES:,} files or {MAX_BYTES:,} bytes.")
        for entry in entries:
            _check_entry(entry)
        name, count = Counter(entry.filename for entry in entries).most_common(1)[0] if entries else ("", 0)
        if count > 1:
            raise PackageError(f"The archive has {count} entries with the name {quoted(name)}.")
        self._remaining = MAX_BYTES
        self.names = frozenset(entry.filename for entry in entries if "/" not in entry.filename)

    def read(self, name: str, *, limit: int = MAX_BYTES) -> bytes:
        """Reads a file, and counts its actual bytes: the sizes declared in an archive cannot be trusted."""
        if checked_name(name) not in self.names:
            raise PackageError(f"The package has no file {quoted(name)}.")
        try:
            with self._archive.open(name) as file:
                data = file.read(min(self._remaining, limit) + 1)
        except MemoryError:
            raise
        except Exception as error:
            raise PackageError(f"{name} cannot be unpacked: {str(error) or type(error).__name__:.200}.") from error
        if len(data) > limit:
            raise PackageError(f"{name} has more than {limit:,} bytes.")
        self._remaining -= len(data)
        if self._remaining < 0:
            raise PackageError(f"The archive unpacks to more than {MAX_BYTES:,} bytes.")
        return data


def _check_entry(entry: zipfile.ZipInfo) -> None:
    """Raises PackageError for a link, and for a path that leads out of the folder."""
    path = PurePosixPath(entry.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in entry.filename:
        raise PackageError(f"The archive's entry {quoted(entry.filename)} leads out of its folder.")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise PackageError(f"The archive's entry {quoted(entry.filename)} is a link.")
