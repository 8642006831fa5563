"""Which models serve: finds packages, proves each by its own test tensors, warms it, and knows which were refused."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from models import package as packages
from models.errors import PackageError, StriateError
from models.image import Array
from models.package import Package
from models.preprocess import prepare
from models.spec import ModelSpec
from service.batching import Batcher
from service.errors import NoMap, NotReady, UnknownModel, WrongTask
from service.session import Session

Task = Literal["classification", "segmentation"]
OpenSession = Callable[[Path], Session]
OpenBatcher = Callable[[Session], Batcher]


@dataclass(frozen=True, slots=True)
class Served:
    """A verified package, its network on a device, and the queue in front of it."""

    package: Package
    provider: str
    batcher: Batcher

    @property
    def spec(self) -> ModelSpec:
        return self.package.spec


@dataclass(frozen=True, slots=True)
class Refused:
    """A package folder that does not serve, and the sentence that says why."""

    name: str
    version: str
    reason: str


@dataclass(frozen=True, slots=True)
class Repository:
    """served: the newest version of each model that proved itself, by name. refused: every folder that did not.

    wanted: names that the operator says must serve. A broken package beside them must not take the sound ones away.
    """

    served: dict[str, Served] = field(default_factory=dict)
    refused: tuple[Refused, ...] = ()
    wanted: tuple[str, ...] = ()

    def missing(self) -> tuple[str, ...]:
        """The wanted models that do not serve."""
        return tuple(name for name in self.wanted if name not in self.served)

    def able(self, task: Task) -> tuple[str, ...]:
        return tuple(name for name, model in self.served.items() if model.spec.task == task)

    def get(self, name: str) -> Served:
        """Raises UnknownModel; NotReady where the model exists and was refused."""
        if name in self.served:
            return self.served[name]
        reasons = [refused.reason for refused in self.refused if refused.name == name]
        if reasons:
            raise NotReady(f"The model {name!r} does not serve: {reasons[0]}")
        raise UnknownModel(name, served=self.served)

    def choose(self, name: str, *, task: Task, needs_map: bool) -> Served:
        """The model `name`, which must do the task and, for a map, have one. Raises WrongTask, NoMap."""
        model = self.get(name)
        if model.spec.task != task:
            raise WrongTask(name, task=model.spec.task, asked=task, able=self.able(task))
        if needs_map and model.spec.cam is None:
            raise NoMap(name)
        return model

    def close(self) -> None:
        for model in self.served.values():
            model.batcher.close()


def load(
    root: Path, *, open_session: OpenSession, open_batcher: OpenBatcher, wanted: tuple[str, ...] = ()
) -> Repository:
    """Every package under root that proves itself; a refused one does not keep the others from serving."""
    served: dict[str, Served] = {}
    refused: list[Refused] = []
    for folder in _newest_last(_folders(root)):
        name, version = folder.parent.name, folder.name
        try:
            package, session = verified(folder, open_session=open_session)
        except StriateError as error:
            refused.append(Refused(name, version, str(error)))
            continue
        if name in served:
            served[name].batcher.close()
        served[name] = Served(package, session.provider, open_batcher(session))
    return Repository(dict(sorted(served.items())), tuple(refused), wanted)


def verified(folder: Path, *, open_session: OpenSession) -> tuple[Package, Session]:
    """A package that reproduced its test outputs, and its warm session. Raises PackageError or NoSuchDevice."""
    package = packages.read(folder)
    spec = package.spec
    if (spec.name, spec.version) != (folder.parent.name, folder.name):
        raise PackageError(
            f"rdf.yaml says {spec.name} {spec.version}, but the folder is {folder.parent.name}/{folder.name}."
        )
    session = open_session(package.weights)
    test_input, expected = package.test_tensors()
    outputs = session.run(prepared(test_input[0], spec)[None], spec.output_names)  # it is warm now
    for name, wanted in expected.items():
        _expect_equal(name, outputs[name], wanted, tolerance=spec.tolerance)
    return package, session


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


def _folders(root: Path) -> Iterable[Path]:
    """<name>/<version> under root; a name that begins with a dot is a draft of models.package.write."""
    found = (folder for folder in root.glob("*/*") if folder.is_dir())
    return (folder for folder in found if not folder.name.startswith(".") and not folder.parent.name.startswith("."))


def _newest_last(folders: Iterable[Path]) -> list[Path]:
    """By name, then by version as numbers: 0.10 is newer than 0.9."""
    return sorted(folders, key=lambda folder: (folder.parent.name, _numbers(folder.name), folder.name))


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split(".")
    return tuple(int(part) for part in parts) if all(part.isdecimal() for part in parts) else ()
