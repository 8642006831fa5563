"""Repository scan: the version folders <root>/<name>/<version>/, with a stamp that reveals changes.

A link in place of the root, a name or a version is followed: an operator may replace a whole folder by one. Within a
version's folder nothing is.
"""

import os
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from models.package import RDF

MAX_FILES = 1000  # in a version's folder
Stamp = tuple[tuple[str, int, int, int], ...]  # (file, inode, modification time in ns, bytes) of each file


def find_versions(root: Path) -> dict[Path, Stamp]:
    """Returns every version's folder with its stamp, by model, newest first; names that begin with a dot are drafts."""
    versions = [version for name in folders(root) for version in folders(name)]
    return {folder: stamp(folder) for folder in newest_first(versions)}


def folders(parent: Path) -> list[Path]:
    """Returns the folders in a folder that are no drafts, and links to such; none of what cannot be read."""
    try:
        with os.scandir(parent) as entries:
            return [Path(entry.path) for entry in entries if not entry.name.startswith(".") and os.path.isdir(entry)]
    except OSError:
        return []


def absence(root: Path) -> str:
    """Returns why nothing can be said of the repository: its folder is missing or empty; otherwise an empty string."""
    try:
        with os.scandir(root) as entries:
            return "" if any(entries) else "it is empty"
    except OSError as error:
        return error.strerror or type(error).__name__


def stamp(folder: Path) -> Stamp:
    """Returns a value that changes whenever a file is written, replaced, added or removed; empty for no folder."""
    try:
        with os.scandir(folder) as entries:
            files = [(entry.name, entry.stat(follow_symlinks=False)) for entry in islice(entries, MAX_FILES + 1)]
    except OSError:
        return ()
    return tuple(sorted((name, status.st_ino, status.st_mtime_ns, status.st_size) for name, status in files))


def has_description(stamp: Stamp) -> bool:
    """Returns whether there is an entry with the description's name; of too many entries, not all are known."""
    return len(stamp) > MAX_FILES or any(name == RDF for name, *_ in stamp)


def is_text(path: Path) -> bool:
    """Returns whether the path is UTF-8, as watchfiles, JSON and every model's name need it to be."""
    return os.fsencode(path).decode(errors="replace") == str(path)


def newest_first(folders: Iterable[Path]) -> list[Path]:
    """Sorts by model, then by version, newest first, comparing numbers: 0.10 is newer than 0.9."""
    by_version = sorted(folders, key=lambda folder: (_numbers(folder.name), folder.name), reverse=True)
    return sorted(by_version, key=lambda folder: folder.parent.name)


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split(".")
    return tuple(int(part) for part in parts) if all(part.isdecimal() for part in parts) else ()
