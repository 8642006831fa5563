"""Folder watcher: reports changes under a folder as soon as the operating system does."""

from collections.abc import Callable
from pathlib import Path

from watchfiles import awatch

from service.telemetry.log import log

_DEBOUNCE_MS = 500  # a folder that is being copied changes many times


async def watch(root: Path, on_change: Callable[[], None]) -> None:
    """Calls `on_change` after every change until cancelled; logs and returns if the system cannot watch."""
    try:
        async for _ in awatch(root, watch_filter=None, debounce=_DEBOUNCE_MS):
            on_change()
    except OSError as error:  # the folder does not exist, or the system's limit of watches is reached
        log.write("warning", "folder not watched", reason=str(error))
