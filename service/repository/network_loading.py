"""Network loading: the options, the verification and warm-up of a package's network, and transient errors."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from models.package import Package
from service.errors import RetryLater
from service.inference import CPU, Session
from service.inference.activation_memory import ActivationMemory, NetworkMemory
from service.inference.cpu import CpuSession
from service.repository.prover import NotProvedYet, ProofOptions
from service.repository.verifier import OpenSession, check_outputs, network_input, read_proved
from service.scheduling.batcher import Batcher

OpenBatcher = Callable[[Session], Batcher]


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """Options for loading packages.

    queue_length: items that may wait or run. limit_bytes: of all loaded weights together. rescan_s: time between two
    scans if the system does not report changes. proof: see ProofOptions. activations: of a CPU.
    """

    root: Path
    open_session: OpenSession
    open_batcher: OpenBatcher
    queue_length: int
    wanted: tuple[str, ...] = ()
    limit_bytes: float = math.inf
    rescan_s: float = 10.0
    proof: ProofOptions = ProofOptions()  # noqa: RUF009  frozen
    activations: ActivationMemory = field(default_factory=ActivationMemory)

    def memory_of(self, provider: str, element_bytes: float) -> NetworkMemory:
        """element_bytes: see Proof. A GPU has memory of its own."""
        return NetworkMemory.measured(self.activations, element_bytes) if provider == CPU else NetworkMemory()


def open_batcher(package: Package, options: LoadOptions, *, element_bytes: float) -> Batcher:
    """Opens the network of a package that has been proved, and warms it up. Raises StriateError.

    The proof ran on the CPU, so another device's outputs are compared here.
    """
    current = read_proved(package.folder, package.sha256)
    session = options.open_session(current)
    memory = options.memory_of(session.provider, element_bytes)
    memory.largest_tile(package.spec)  # raises if none fits
    if isinstance(session, CpuSession):
        session.memory = memory
    elif session.provider != CPU:
        check_outputs(current, session)
    batcher = options.open_batcher(session)
    warm(current, batcher)
    return batcher


def warm(package: Package, batcher: Batcher) -> None:
    """Runs the batch sizes that may come to run, on the package's test input."""
    test_input, _ = package.test_tensors()
    batcher.warm(network_input(test_input[0], package.spec)[None], package.spec.output_names)


def is_transient(error: Exception) -> bool:
    """Returns whether the machine rather than the package caused the error, so that a retry may succeed."""
    if isinstance(error, NotProvedYet | RetryLater):
        return True
    cause = error.__cause__ or error
    of_the_folder = isinstance(cause, FileNotFoundError | PermissionError | NotADirectoryError | IsADirectoryError)
    return isinstance(cause, OSError | MemoryError) and not of_the_folder
