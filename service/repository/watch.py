"""Folder watcher: reports changes under a folder as soon as the operating system does."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from watchfiles import awatch

from service.repository import scan
from service.telemetry.log import log

_DEBOUNCE_MS = 500  # a folder that is being copied changes many times
_SETTLED_MS = 1000  # after which what changed before the watch began is looked for


async def watch(root: Path, on_change: Callable[[], None]) -> None:
    """Calls `on_change` after every change until cancelled; logs and returns if the system cannot watch."""
    logged = ""
    while True:
        try:
            await _watch_folders(root, on_change)
            continue
        except FileNotFoundError as error:  # one of the folders has just been removed, if it is not the root
            if scan.absence(root):
                log.write("warning", "folder not watched", reason=str(error))
                return
        except OSError as error:  # the system's limit of watches is reached
            log.write("warning", "folder not watched", reason=str(error))
            return
        except Exception as error:  # noqa: BLE001  watchfiles ends at a name that is not UTF-8
            if (reason := type(error).__name__) != logged:  # once, not at every look into a folder of such a name
                log.write("warning", "folder watched again", reason=reason)
            logged = reason
        on_change()
        await asyncio.sleep(_SETTLED_MS / 1000)


async def _watch_folders(root: Path, on_change: Callable[[], None]) -> None:
    """Watches the folders of the repository until there are others.

    Not recursively: watchfiles would follow a link in a package to wherever it leads, to the whole system if need be.
    """
    folders = await asyncio.to_thread(_folders, root)
    is_settled = False
    async for changes in awatch(
        *folders,
        watch_filter=None,
        debounce=_DEBOUNCE_MS,
        rust_timeout=_SETTLED_MS,
        yield_on_timeout=True,
        recursive=False,
    ):
        if changes or not is_settled:
            on_change()
        is_settled = True
        if changes and await asyncio.to_thread(_folders, root) != folders:
            return


def _folders(root: Path) -> list[Path]:
    names = scan.folders(root)
    watched = [root, *names, *(version for name in names for version in scan.folders(name))]
    return [folder for folder in watched if scan.is_text(folder)]
