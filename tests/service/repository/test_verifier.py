"""Tests of package verification: the checks of each package, and the reasons of those that fail."""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from models.package import Package
from service.errors import NotReady
from tests import tiny
from tests.service.repository.hostile_packages import looping, sealed, with_tail
from tests.service.repository.loaded_repository import load_repository


def test_the_newest_version_by_number_is_served(tmp_path: Path) -> None:
    for version in ("0.9", "0.10", "0.2.7"):
        tiny.brightness(tmp_path, version=version)
    repository = load_repository(tmp_path)
    assert repository.served["brightness"].spec.version == "0.10"
    assert not repository.invalid


def edit_description(old: str, new: str) -> Callable[[Package], None]:
    def edit(package: Package) -> None:
        description = package.folder / "rdf.yaml"
        assert old in description.read_text()
        description.write_text(description.read_text().replace(old, new))

    return edit


def replace_with_digest(name: str, content: bytes) -> Callable[[Package], None]:
    """Replaces a file together with its digest: only running the network reveals it."""

    def reseal(package: Package) -> None:
        old = hashlib.sha256((package.folder / name).read_bytes()).hexdigest()
        (package.folder / name).write_bytes(content)
        edit_description(old, hashlib.sha256(content).hexdigest())(package)

    return reseal


def wrong_output() -> bytes:
    file = io.BytesIO()
    np.save(file, np.full((1, 3), 1 / 3, np.float32))
    return file.getvalue()


def integers(package: Package) -> None:
    """Has the network give its probabilities as int32."""
    with_tail([helper.make_node("Cast", ["pair"], ["probabilities"], to=TensorProto.INT32)], {})(package.folder)
    model = onnx.load(package.weights)
    for output in model.graph.output:
        if output.name == "probabilities":
            output.type.tensor_type.elem_type = TensorProto.INT32
    sealed("model.onnx", model.SerializeToString())(package.folder)


def move(package: Package) -> None:
    package.folder.rename(package.folder.with_name("2.0"))


INVALID = {
    "a changed byte": (lambda p: p.weights.write_bytes(b"\0" + p.weights.read_bytes()[1:]), "has been changed"),
    "no description": (lambda p: (p.folder / "rdf.yaml").unlink(), "rdf.yaml cannot be read"),
    "no weights": (lambda p: p.weights.unlink(), "model.onnx cannot be read"),
    "not YAML": (lambda p: (p.folder / "rdf.yaml").write_text("a: ["), "is not YAML"),
    "a way out of the folder": (edit_description("source: model.onnx", "source: ../model.onnx"), "../model.onnx"),
    "a folder of another version": (move, "rdf.yaml says brightness 1.0, but the folder is brightness/2.0"),
    "not an ONNX network": (replace_with_digest("model.onnx", b"not onnx"), "no valid ONNX file"),
    "a loop": (lambda package: looping()(package.folder), "has the operator 'Loop'"),
    "an output of integers": (integers, "is (1, 3) int32; the package's test output is (1, 3) float32"),
    "other test outputs": (
        replace_with_digest("test_probabilities.npy", wrong_output()),
        "does not reproduce the test output",
    ),
    "a pickle for a test tensor": (replace_with_digest("test_input.npy", b"\x80\x04K\x01."), "is not a .npy array"),
}


@pytest.mark.parametrize("case", INVALID)
def test_an_invalid_package_has_its_reason_and_the_others_are_served(tmp_path: Path, case: str) -> None:
    damage, reason = INVALID[case]
    tiny.blobs(tmp_path)
    damage(tiny.brightness(tmp_path))
    repository = load_repository(tmp_path)
    assert list(repository.served) == ["blobs"]
    (invalid,) = repository.invalid
    assert invalid.name == "brightness"
    assert reason in invalid.reason
    with pytest.raises(NotReady, match="is not served"):
        repository.get("brightness")


def test_an_older_version_is_served_if_the_newest_is_invalid(tmp_path: Path) -> None:
    tiny.brightness(tmp_path)
    tiny.brightness(tmp_path, version="2.0").weights.write_bytes(b"")
    repository = load_repository(tmp_path)
    assert repository.served["brightness"].spec.version == "1.0"
    assert repository.invalid[0].version == "2.0"


def test_drafts_and_stray_files_are_ignored(tmp_path: Path) -> None:
    package = tiny.brightness(tmp_path)
    (package.folder.parent / ".2.0-draft").mkdir()
    (tmp_path / "README.md").write_text("stray")
    (package.folder.parent / "notes.txt").write_text("stray")
    assert not load_repository(tmp_path).invalid
