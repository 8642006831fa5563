"""What lies in the repository: <root>/<name>/<version>/, and how one knows that a folder has changed."""

import os
from collections.abc import Iterable
from pathlib import Path

Stamp = tuple[tuple[str, int, int, int], ...]  # (file, inode, modified in ns, bytes) of each


def found(root: Path) -> dict[Path, Stamp]:
    """Every version's folder with its stamp, by name, newest first. A name that begins with a dot is a draft."""
    folders = [folder for folder in root.glob("*/*") if not _is_draft(folder) and folder.is_dir()]
    return {folder: stamp(folder) for folder in newest_first(folders)}


def stamp(folder: Path) -> Stamp:
    """Another one whenever a file is written, replaced, added or removed; empty where the folder has just gone."""
    try:
        with os.scandir(folder) as entries:
            files = [(entry.name, entry.stat()) for entry in entries]
    except FileNotFoundError:
        return ()
    return tuple(sorted((name, status.st_ino, status.st_mtime_ns, status.st_size) for name, status in files))


def newest_first(folders: Iterable[Path]) -> list[Path]:
    """By name; of each, by version as numbers: 0.10 is newer than 0.9."""
    by_version = sorted(folders, key=lambda folder: (_numbers(folder.name), folder.name), reverse=True)
    return sorted(by_version, key=lambda folder: folder.parent.name)


def _is_draft(folder: Path) -> bool:
    return folder.name.startswith(".") or folder.parent.name.startswith(".")


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split(".")
    return tuple(int(part) for part in parts) if all(part.isdecimal() for part in parts) else ()
