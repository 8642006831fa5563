"""The proof that a package must give before it serves: its network reproduces its own test outputs on this device."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from models import package as packages
from models.errors import PackageError
from models.image import Array
from models.package import Package
from models.preprocess import prepare
from models.spec import ModelSpec
from service.inference import Session

OpenSession = Callable[[Package], Session]


def read(folder: Path) -> Package:
    """A package that is what its folder <name>/<version> says, its digests checked. Raises PackageError."""
    package = packages.read(folder)
    spec = package.spec
    if (spec.name, spec.version) != (folder.parent.name, folder.name):
        raise PackageError(
            f"rdf.yaml says {spec.name} {spec.version}, but the folder is {folder.parent.name}/{folder.name}."
        )
    return package


def prove(package: Package, *, open_session: OpenSession) -> Session:
    """The package's session, which reproduced its test outputs. Raises PackageError, NoSuchDevice or NetworkFailed."""
    spec = package.spec
    session = open_session(package)
    test_input, expected = package.test_tensors()
    outputs = session.run(prepared(test_input[0], spec)[None], spec.every_output)
    for output in spec.outputs:
        _expect_equal(output.name, outputs[output.name], expected[output.name], tolerance=output.tolerance)
    return session


def verified(folder: Path, *, open_session: OpenSession) -> tuple[Package, Session]:
    """read, then prove."""
    package = read(folder)
    return package, prove(package, open_session=open_session)


def prepared(test_input: Array, spec: ModelSpec) -> Array:
    """(C, H, W) float32 before the package's steps -> what a request with these pixels gives the network."""
    pixels = np.moveaxis(test_input, 0, 2)
    return prepare(pixels, channels=spec.input.channels, size=spec.input.size, steps=spec.input.steps)


def _expect_equal(name: str, got: Array, wanted: Array, *, tolerance: float) -> None:
    if got.shape != wanted.shape:
        raise PackageError(f"The network's {name} is {got.shape}; the package's test output is {wanted.shape}.")
    difference = float(np.abs(got.astype(np.float64) - wanted).max())
    if not difference <= tolerance:  # NaN is not <= anything
        raise PackageError(
            f"The network does not reproduce the test output {name}: it differs by {difference:.3g}, "
            f"more than the tolerance {tolerance:g}."
        )
