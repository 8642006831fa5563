"""Tells of changes under a folder as soon as the system does."""

from collections.abc import Callable
from pathlib import Path

from watchfiles import awatch

from service.telemetry.log import log

_GATHER_MS = 500  # a folder that is being copied changes many times


async def watch(root: Path, tell: Callable[[], None]) -> None:
    """Calls `tell` after every change until it is cancelled; ends where the system cannot watch, which is logged."""
    try:
        async for _ in awatch(root, watch_filter=None, debounce=_GATHER_MS):
            tell()
    except OSError as error:  # there is no such folder, or the system watches too many already
        log.write("warning", "not watched", reason=str(error))
