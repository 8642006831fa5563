"""Files of a package, read with bounds: whoever made the package may have put anything at all in their place."""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from models.closed import File
from models.errors import PackageError

MAX_DESCRIPTION_BYTES = 2**20
MAX_NETWORK_BYTES = 2**31  # the largest that protobuf reads
MAX_TENSOR_BYTES = 2**29
MAX_READABLE_BYTES = 2**26  # README.md or an attachment
_CHUNK_BYTES = 2**20
# A link is not followed, and a FIFO not waited for.
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KINDS = {
    stat.S_IFDIR: "folder",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "FIFO",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


def read_file(path: Path, *, limit: int) -> bytes:
    """Reads a regular file of at most `limit` bytes. Raises PackageError."""
    return b"".join(_chunks(path, limit=limit))


def check_file(path: Path, *, limit: int) -> None:
    """Raises PackageError unless it is a regular file of at most `limit` bytes."""
    with _opened(path, limit):
        pass


def read_verified(folder: Path, file: File, *, limit: int) -> bytes:
    """Reads a file whose digest the description has. Raises PackageError."""
    content = read_file(folder / file.source, limit=limit)
    _expect_digest(file, hashlib.sha256(content).hexdigest())
    return content


def verify_digest(folder: Path, file: File, *, limit: int) -> None:
    """Checks a file's digest, reading it piece by piece: a network may be large. Raises PackageError."""
    digest = hashlib.sha256()
    for chunk in _chunks(folder / file.source, limit=limit):
        digest.update(chunk)
    _expect_digest(file, digest.hexdigest())


def _chunks(path: Path, *, limit: int) -> Iterator[bytes]:
    with _opened(path, limit) as (file, size):
        for begin in range(0, size + 1, _CHUNK_BYTES):  # a byte beyond its end: is that still there?
            wanted = min(_CHUNK_BYTES, size + 1 - begin)
            chunk = file.read(wanted)
            if len(chunk) != min(wanted, size - begin):
                raise PackageError(f"{path.name} is being written: it had {size:,} bytes, and has others now.")
            yield chunk


@contextmanager
def _opened(path: Path, limit: int) -> Iterator[tuple[BinaryIO, int]]:
    """Opens a regular file, and tells its size."""
    try:
        _check_kind(path.name, os.lstat(path))  # before it is opened: to open a device may do something
        with os.fdopen(os.open(path, _FLAGS), "rb") as file:
            status = os.fstat(file.fileno())
            _check_kind(path.name, status)
            if status.st_size > limit:
                raise PackageError(f"{path.name} has {status.st_size:,} bytes; at most {limit:,} are allowed.")
            yield file, status.st_size
    except OSError as error:
        raise PackageError(f"{path.name} cannot be read: {error.strerror}.") from error


def _check_kind(name: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "special file")
        raise PackageError(f"{name} is a {kind}; a package holds regular files only.")


def _expect_digest(file: File, digest: str) -> None:
    if digest != file.sha256:
        raise PackageError(f"{file.source} has been changed: its sha256 is {digest}, rdf.yaml says {file.sha256}.")
