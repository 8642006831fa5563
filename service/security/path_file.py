"""Regular file that is opened again once its path leads to another."""

import os
import stat
from pathlib import Path


class NotRegular(OSError):
    """A pipe, a device or a folder, which may block or have no end."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path.name} is not a regular file")


def open_regular(path: Path, flags: int) -> int:
    """Returns a file descriptor, without waiting for what may be at the other end of a pipe. Raises OSError."""
    descriptor = os.open(path, flags | os.O_NONBLOCK, 0o600)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise NotRegular(path)


class PathFile:
    """A file that this process keeps open, and that others may rename, remove or replace."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._name = str(path)  # os.stat of a Path converts it each time
        self._identity: tuple[int, int] | None = None
        self.descriptor = -1

    def __del__(self) -> None:
        self.close()

    def in_place(self) -> os.stat_result | None:
        """Returns the status of the open file; None if the path leads elsewhere or nowhere, or nothing is open."""
        try:
            status = os.stat(self._name)
        except FileNotFoundError:
            return None
        return status if (status.st_dev, status.st_ino) == self._identity else None

    def open(self, flags: int) -> os.stat_result:
        """Opens what is at the path now, in place of the file that was open. Raises OSError, and then keeps that."""
        descriptor = open_regular(self._path, os.O_RDWR | flags)
        self.close()
        status = os.fstat(descriptor)
        self.descriptor, self._identity = descriptor, (status.st_dev, status.st_ino)
        return status

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
        self.descriptor, self._identity = -1, None
