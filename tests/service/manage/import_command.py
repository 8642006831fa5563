"""Import command in this process, and the options that a bare network needs."""

from pathlib import Path

from service.manage.__main__ import main

BARE = ("--name", "bare-one", "--normalise", "8bit")


def run_import(*arguments: str | Path) -> int:
    return main(["import", *map(str, arguments)])


def is_empty(models: Path) -> bool:
    return list(models.iterdir()) == []
