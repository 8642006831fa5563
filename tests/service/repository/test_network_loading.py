"""Tests of loading a network that has been proved, and of the failures that are worth a retry."""

import errno
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from models.errors import PackageError
from models.image import Array
from models.package import Package
from service.errors import SandboxFailed
from service.inference import CPU, CUDA, open_session
from service.repository.network_loading import LoadOptions, is_transient, open_batcher
from service.repository.prover import NotProvedYet
from service.scheduling.batcher import Batcher
from tests import tiny


def caused_by(cause: Exception) -> PackageError:
    error = PackageError("model.onnx cannot be read")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (OSError(errno.EMFILE, "Too many open files"), True),
        (NotProvedYet(), True),
        (SandboxFailed("no memory"), True),
        (caused_by(OSError(errno.EIO, "Input/output error")), True),
        (caused_by(FileNotFoundError()), False),  # the package itself is incomplete
        (caused_by(PermissionError()), False),
        (caused_by(ValueError()), False),
        (PackageError("model.onnx has been changed"), False),
    ],
)
def test_errors_of_the_machine_are_transient(error: Exception, expected: bool) -> None:
    assert is_transient(error) is expected


class OtherDevice:
    """A session whose answers are a tenth of a network's on the CPU, as those of a device that is out of order."""

    def __init__(self, package: Package, provider: str) -> None:
        self._session = open_session(package.network(), device="cpu")
        self.provider, self.lanes, self.buckets = provider, 1, (1,)

    def run(self, batch: Array, outputs: Sequence[str], until: float = math.inf) -> dict[str, Array]:
        return {name: values / 10 for name, values in self._session.run(batch, outputs).items()}


def load(package: Package, provider: str) -> Batcher:
    options = LoadOptions(
        package.folder.parents[1],
        open_session=lambda package: OtherDevice(package, provider),
        open_batcher=partial(Batcher, length=1, bound_s=1.0),
        queue_length=1,
    )
    return open_batcher(package, options, element_bytes=0.0)


def test_outputs_are_compared_where_the_proof_did_not_run(tmp_path: Path) -> None:
    package = tiny.brightness(tmp_path)
    load(package, CPU).close()  # its proof ran there
    with pytest.raises(PackageError, match="does not reproduce"):
        load(package, CUDA)


def write_other(package: Package) -> None:
    package.weights.write_bytes(package.weights.read_bytes() + b"\x32\x01x")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (write_other, "model.onnx has been changed"),
        (lambda package: tiny.brightness(package.folder.parents[1], description="Other."), "replaced on disk"),
    ],
)
def test_only_what_was_proved_is_loaded(tmp_path: Path, change: Callable[[Package], object], reason: str) -> None:
    package = tiny.brightness(tmp_path)
    change(package)
    with pytest.raises(PackageError, match=reason):
        load(package, CPU)
