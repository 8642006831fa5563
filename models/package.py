"""The model package on disk: a folder of rdf.yaml, ONNX weights and test tensors, each proved by its digest."""

import hashlib
import os
import shutil
import tempfile
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from models.errors import PackageError
from models.image import Array
from models.rdf import from_rdf, to_rdf
from models.spec import File, ModelSpec

RDF = "rdf.yaml"


@dataclass(frozen=True, slots=True)
class Package:
    """A verified package. sha256 is rdf.yaml's: it holds every other file's digest, so it names all the bytes."""

    folder: Path
    spec: ModelSpec
    sha256: str

    @property
    def weights(self) -> Path:
        return self.folder / self.spec.weights.source

    def test_tensors(self) -> tuple[Array, dict[str, Array]]:
        """The test input (1, C, H, W) float32 before the package's steps, and each output it must give."""
        outputs: dict[str, Array] = {name: _load(self.folder, file) for name, file in self.spec.test_outputs.items()}
        return _load(self.folder, self.spec.test_input), outputs


def read(folder: Path) -> Package:
    """Reads and verifies a package: description, digests, test tensors' shapes. Raises PackageError."""
    try:
        text = (folder / RDF).read_bytes()
        document = yaml.safe_load(text)
    except OSError as error:
        raise PackageError(f"{RDF} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PackageError(f"{RDF} is not YAML: {error!s:.200}.") from error
    package = Package(folder, from_rdf(document), hashlib.sha256(text).hexdigest())
    for file in (package.spec.weights, package.spec.test_input, *package.spec.test_outputs.values()):
        _verify(folder, file)
    _check_shapes(package)
    return package


def write(
    folder: Path,
    fields: Mapping[str, Any],
    *,
    weights: bytes,
    test_input: Array,
    test_outputs: Mapping[str, Array],
    readme: str,
    attachments: Mapping[str, bytes] | None = None,
) -> Package:
    """Writes a package so that it appears whole or not at all, replacing one of the same folder.

    fields: those of ModelSpec but the files, whose names and digests are filled in here. attachments: further files
    (plots, a report, cover.png) that go along unverified. Raises PackageError if what was written would not read back.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    bench = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    draft = bench / "new"
    try:
        draft.mkdir()
        files = {
            "weights": _store(draft, "model.onnx", weights),
            "test_input": _store(draft, "test_input.npy", _npy(test_input)),
            "test_outputs": {n: _store(draft, f"test_{n}.npy", _npy(a)) for n, a in test_outputs.items()},
        }
        spec = ModelSpec.model_validate({**fields, **files, "attachments": tuple(attachments or ())})
        for name, content in {"README.md": readme.encode(), **(attachments or {})}.items():
            _store(draft, name, content)
        text = yaml.safe_dump(to_rdf(spec), sort_keys=False, allow_unicode=True, width=120)
        _store(draft, RDF, text.encode())
        read(draft)
        if folder.exists():
            os.replace(folder, bench / "old")
        os.replace(draft, folder)
    finally:
        shutil.rmtree(bench, ignore_errors=True)
    return read(folder)


def _store(folder: Path, name: str, content: bytes) -> File:
    (folder / name).write_bytes(content)
    return File(source=name, sha256=hashlib.sha256(content).hexdigest())


def _npy(array: Array) -> bytes:
    with tempfile.TemporaryFile() as file:
        np.save(file, array, allow_pickle=False)
        file.seek(0)
        return file.read()


def _verify(folder: Path, file: File) -> None:
    try:
        with (folder / file.source).open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise PackageError(f"{file.source} cannot be read: {error.strerror}.") from error
    if digest != file.sha256:
        raise PackageError(f"{file.source} has been changed: its sha256 is {digest}, rdf.yaml says {file.sha256}.")


def _load(folder: Path, file: File) -> Array:
    try:
        with (folder / file.source).open("rb") as content:
            array: Array = np.lib.format.read_array(content, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError, tokenize.TokenError) as error:
        raise PackageError(f"{file.source} is not a .npy array: {error!s:.200}.") from error
    return array


def _check_shapes(package: Package) -> None:
    spec = package.spec
    test_input, outputs = package.test_tensors()
    size = spec.input.size or test_input.shape[2:]
    _expect("test_input", test_input, (1, spec.input.channels, *size))
    channels = len(spec.channel_names)
    inner = () if spec.task == "classification" else tuple(side - 2 * spec.border for side in size)
    _expect("probabilities", outputs["probabilities"], (1, channels, *inner))
    if spec.cam:
        _expect("cam", outputs["cam"], (1, channels, *spec.cam.size))


def _expect(name: str, array: Array, shape: tuple[int, ...]) -> None:
    if array.shape != shape or array.dtype != np.float32:
        raise PackageError(
            f"The test tensor {name} is {array.shape} {array.dtype}; rdf.yaml describes {shape} float32."
        )
