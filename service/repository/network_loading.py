"""Network loading: the options, the verification and warm-up of a package's network, and transient errors."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from models.errors import PackageError
from models.package import Package
from service.inference import Session
from service.repository.verifier import OpenSession, network_input, read, verify
from service.scheduling.batcher import Batcher

OpenBatcher = Callable[[Session], Batcher]


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """Options for loading packages.

    queue_length: items that may wait or run. limit_bytes: of all loaded weights together. rescan_s: time between two
    scans if the system does not report changes.
    """

    root: Path
    open_session: OpenSession
    open_batcher: OpenBatcher
    queue_length: int
    wanted: tuple[str, ...] = ()
    limit_bytes: float = math.inf
    rescan_s: float = 10.0


def open_batcher(package: Package, options: LoadOptions) -> Batcher:
    """Verifies the package on disk and warms up its network. Raises StriateError."""
    current = read(package.folder)
    if current.sha256 != package.sha256:
        raise PackageError(f"{package.spec.name} {package.spec.version} has been replaced on disk.")
    session = verify(current, open_session=options.open_session)
    batcher = options.open_batcher(session)
    batcher.warm(network_input(current.test_tensors()[0][0], current.spec)[None], current.spec.output_names)
    return batcher


def is_transient(error: Exception) -> bool:
    """Returns whether the machine rather than the package caused the error, so that a retry may succeed."""
    cause = error.__cause__ or error
    of_the_folder = isinstance(cause, FileNotFoundError | PermissionError | NotADirectoryError | IsADirectoryError)
    return isinstance(cause, OSError | MemoryError) and not of_the_folder
