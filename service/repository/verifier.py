"""Package verification: a network must reproduce its package's test outputs on this device before it serves."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from models import package as packages
from models.errors import PackageError, quoted
from models.image import Array
from models.network_operators import check_network
from models.package import Package
from models.preprocess import prepare
from models.spec import ModelSpec
from service.inference import Session

OpenSession = Callable[[Package], Session]


def read(folder: Path) -> Package:
    """Reads a package, checks its digests, and its name and version against its folder. Raises PackageError."""
    return _in_its_folder(packages.read(folder))


def read_proved(folder: Path, sha256: str) -> Package:
    """Reads the package with this digest, which has been verified. Raises PackageError."""
    text = packages.read_description(folder)
    if hashlib.sha256(text).hexdigest() != sha256:
        raise PackageError(f"{folder.parent.name} {folder.name} has been replaced on disk.")
    return _in_its_folder(packages.described(folder, text))


def _in_its_folder(package: Package) -> Package:
    spec, folder = package.spec, package.folder
    if (spec.name, spec.version) != (folder.parent.name, folder.name):
        raise PackageError(
            f"rdf.yaml says {spec.name} {spec.version}, but the folder is {folder.parent.name}/{folder.name}."
        )
    return package


def verify(package: Package, *, open_session: OpenSession) -> Session:
    """Checks the package's network, opens its session, and checks that it reproduces the test outputs.

    Raises PackageError, DeviceUnavailable, InferenceFailed.
    """
    check_network(package.network())
    session = open_session(package)
    check_outputs(package, session)
    return session


def check_outputs(package: Package, session: Session) -> None:
    """Raises PackageError unless the session reproduces the package's test outputs; InferenceFailed."""
    test_input, expected = package.test_tensors()
    outputs = session.run(network_input(test_input[0], package.spec)[None], package.spec.every_output)
    for output in package.spec.outputs:
        _check_equal(output.name, outputs[output.name], expected[output.name], tolerance=output.tolerance)


def read_verified(folder: Path, *, open_session: OpenSession) -> tuple[Package, Session]:
    """Reads and verifies a package. Raises PackageError, DeviceUnavailable, InferenceFailed."""
    package = read(folder)
    return package, verify(package, open_session=open_session)


def network_input(test_input: Array, spec: ModelSpec) -> Array:
    """Applies the package's preprocessing to (C, H, W) float32, as for a request with these pixels."""
    pixels = np.moveaxis(test_input, 0, 2)
    return prepare(pixels, channels=spec.input.channels, size=spec.input.size, steps=spec.input.steps)


def _check_equal(name: str, actual: Array, expected: Array, *, tolerance: float) -> None:
    if actual.shape != expected.shape or actual.dtype != np.float32:
        raise PackageError(
            f"The network's {name} is {quoted(actual.shape)} {actual.dtype}; the package's test output is"
            f" {expected.shape} float32."
        )
    difference = float(np.abs(actual.astype(np.float64) - expected).max())
    if not difference <= tolerance:  # also false for NaN
        raise PackageError(
            f"The network does not reproduce the test output {name}: the difference {difference:.3g} exceeds the "
            f"tolerance {tolerance:g}."
        )
