"""Model packages on disk: a folder of rdf.yaml, ONNX weights and test tensors, each proved by its digest."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.closed import File
from models.description_yaml import parse_yaml, serialised
from models.errors import PackageError, quoted
from models.image import Array
from models.network_operators import check_network
from models.npy_file import parse_npy
from models.package_files import (
    MAX_DESCRIPTION_BYTES,
    MAX_NETWORK_BYTES,
    MAX_READABLE_BYTES,
    MAX_TENSOR_BYTES,
    check_file,
    read_file,
    read_verified,
    verify_digest,
)
from models.rdf import from_rdf, to_rdf
from models.spec import ModelSpec

RDF = "rdf.yaml"
README = "README.md"


@dataclass(frozen=True, slots=True)
class Package:
    """A verified package. sha256: of rdf.yaml, which holds the other files' digests, so it identifies all the bytes."""

    folder: Path
    spec: ModelSpec
    sha256: str

    @property
    def weights(self) -> Path:
        return self.folder / self.spec.weights.source

    def network(self) -> bytes:
        """Reads the ONNX weights; the bytes returned are those whose digest was checked.

        Raises PackageError.
        """
        return read_verified(self.folder, self.spec.weights, limit=MAX_NETWORK_BYTES)

    def test_tensors(self) -> tuple[Array, dict[str, Array]]:
        """Reads the test input (1, C, H, W) float32, before the package's steps, and the expected output for each name.

        Raises PackageError.
        """
        outputs = {output.name: _load(self.folder, output.test_tensor) for output in self.spec.outputs}
        return _load(self.folder, self.spec.test_input), outputs

    @property
    def readable(self) -> tuple[str, ...]:
        """Names of the files that a person may look at: README.md and the attachments."""
        return (README, *self.spec.attachments)

    def file(self, name: str) -> bytes:
        """Reads one of the readable files, which no digest covers. Raises PackageError."""
        return read_file(self.folder / name, limit=MAX_READABLE_BYTES)

    def filters(self) -> Array | None:
        """Reads the weights of the first convolution, (K, C, h, w) float32, if the package has them."""
        return _load(self.folder, self.spec.filters) if self.spec.filters else None


def read(folder: Path) -> Package:
    """Reads and verifies a package: description, digests, test tensors' shapes. Raises PackageError."""
    return verified(folder, read_description(folder))


def read_description(folder: Path) -> bytes:
    """Reads the text of rdf.yaml. Raises PackageError."""
    return read_file(folder / RDF, limit=MAX_DESCRIPTION_BYTES)


def described(folder: Path, text: bytes) -> Package:
    """Returns the package of this description, whose files are not verified yet. Raises PackageError."""
    return Package(folder, from_rdf(parse_yaml(text)), hashlib.sha256(text).hexdigest())


def verified(folder: Path, text: bytes) -> Package:
    """Verifies the files of a package against this description, which may differ from the rdf.yaml in the folder.

    Raises PackageError.
    """
    package = described(folder, text)
    verify_digest(folder, package.spec.weights, limit=MAX_NETWORK_BYTES)
    _check_shapes(package)
    for name in package.readable:
        if os.path.lexists(folder / name):
            check_file(folder / name, limit=MAX_READABLE_BYTES)
    return package


def write(
    folder: Path,
    fields: Mapping[str, Any],
    *,
    weights: bytes,
    test_input: Array,
    test_outputs: Mapping[str, Array],
    readme: str,
    filters: Array | None = None,
    attachments: Mapping[str, bytes] | None = None,
) -> Package:
    """Writes a package atomically, replacing one in the same folder.

    fields: those of ModelSpec but the files, whose names and digests are filled in here, the outputs' test tensors too.
    weights: an ONNX file. test_outputs: by the outputs' names. filters: see ModelSpec.
    attachments: further files (plots, a report, cover.png) that are not verified. Raises PackageError if what was
    written would not read back.
    """
    check_network(weights)
    folder.parent.mkdir(parents=True, exist_ok=True)
    bench = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    draft = bench / "new"
    try:
        draft.mkdir()
        files: dict[str, Any] = {
            "weights": _store(draft, "model.onnx", weights),
            "test_input": _store(draft, "test_input.npy", _npy(test_input)),
            "outputs": _store_outputs(draft, fields["outputs"], test_outputs),
        }
        if filters is not None:
            files["filters"] = _store(draft, "filters.npy", _npy(filters))
        spec = ModelSpec.model_validate({**fields, **files, "attachments": tuple(attachments or ())})
        for name, content in {README: readme.encode(), **(attachments or {})}.items():
            _store(draft, name, content)
        _store(draft, RDF, serialised(to_rdf(spec)))
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


def _store_outputs(
    folder: Path, outputs: Sequence[Mapping[str, Any]], tensors: Mapping[str, Array]
) -> list[dict[str, Any]]:
    """Writes each output's test tensor and returns the outputs with these files."""
    names = [output["name"] for output in outputs]
    if set(names) != set(tensors):
        raise PackageError(f"The outputs are {sorted(names)}; there are test tensors for {sorted(tensors)}.")
    return [
        {**output, "test_tensor": _store(folder, f"test_{name}.npy", _npy(tensors[name]))}
        for name, output in zip(names, outputs)
    ]


def _npy(array: Array) -> bytes:
    with tempfile.TemporaryFile() as file:
        np.save(file, array, allow_pickle=False)
        file.seek(0)
        return file.read()


def _load(folder: Path, file: File) -> Array:
    content = read_verified(folder, file, limit=MAX_TENSOR_BYTES)
    try:
        return parse_npy(content)
    except ValueError as error:
        raise PackageError(f"{file.source} is not a .npy array: {error!s:.200}.") from error


def _check_shapes(package: Package) -> None:
    spec = package.spec
    test_input, outputs = package.test_tensors()
    size = spec.input.size or test_input.shape[2:]
    _expect("test_input", test_input, (1, spec.input.channels, *size))
    for name, output in outputs.items():
        _expect(name, output, (1, *spec.output_shape(name, size)))
    if spec.filters:
        filters = _load(package.folder, spec.filters)
        _expect("filters", filters, (*filters.shape[:1], spec.input.channels, *filters.shape[2:4]))


def _expect(name: str, array: Array, shape: tuple[int, ...]) -> None:
    if array.shape != shape or array.dtype != np.float32:
        raise PackageError(
            f"The test tensor {name} is {array.shape} {array.dtype}; rdf.yaml describes {quoted(shape)} float32."
        )
