"""Repository scan: the version folders <root>/<name>/<version>/, with a stamp that reveals changes."""

import os
from collections.abc import Iterable
from pathlib import Path

Stamp = tuple[tuple[str, int, int, int], ...]  # (file, inode, modification time in ns, bytes) of each file


def find_versions(root: Path) -> dict[Path, Stamp]:
    """Returns every version's folder with its stamp, by model, newest first; names that begin with a dot are drafts."""
    folders = [folder for folder in root.glob("*/*") if not _is_draft(folder) and folder.is_dir()]
    return {folder: stamp(folder) for folder in newest_first(folders)}


def stamp(folder: Path) -> Stamp:
    """Returns a value that changes whenever a file is written, replaced, added or removed; empty for no folder."""
    try:
        with os.scandir(folder) as entries:
            files = [(entry.name, entry.stat()) for entry in entries]
    except FileNotFoundError:
        return ()
    return tuple(sorted((name, status.st_ino, status.st_mtime_ns, status.st_size) for name, status in files))


def newest_first(folders: Iterable[Path]) -> list[Path]:
    """Sorts by model, then by version, newest first, comparing numbers: 0.10 is newer than 0.9."""
    by_version = sorted(folders, key=lambda folder: (_numbers(folder.name), folder.name), reverse=True)
    return sorted(by_version, key=lambda folder: folder.parent.name)


def _is_draft(folder: Path) -> bool:
    return folder.name.startswith(".") or folder.parent.name.startswith(".")


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split(".")
    return tuple(int(part) for part in parts) if all(part.isdecimal() for part in parts) else ()
