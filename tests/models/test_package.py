import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pydantic import ValidationError

from models import package
from models.errors import PackageError
from tests.models.tiny_descriptions import everything_fields
from tests.models.tiny_packages import contents


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return package.write(tmp_path / "1.0", **contents("segmenter")).folder


def test_what_is_written_is_read_back(parts: dict[str, Any], tmp_path: Path) -> None:
    wrote = package.write(tmp_path / "name" / "1.0", **parts)
    read = package.read(tmp_path / "name" / "1.0")
    assert read == wrote
    assert read.sha256 == hashlib.sha256((read.folder / "rdf.yaml").read_bytes()).hexdigest()
    assert read.weights.read_bytes() == parts["weights"]
    test_input, outputs = read.test_tensors()
    np.testing.assert_array_equal(test_input, parts["test_input"])
    assert set(outputs) == set(parts["test_outputs"])
    for name, expected in parts["test_outputs"].items():
        np.testing.assert_array_equal(outputs[name], expected)


def test_taps_and_filters_are_described_and_proved(tmp_path: Path) -> None:
    written = package.write(tmp_path / "1.0", **contents("tapped"))
    spec = written.spec
    assert spec.output_names == ("probabilities", "cam", "hirescam")
    assert spec.every_output == (*spec.output_names, "tap_features")
    assert [spec.output(name).tolerance for name in spec.every_output] == [1e-4, 1e-4, 2e-4, 3e-4]
    assert [spec.output_shape(name, (16, 16)) for name in spec.every_output] == [(3,), (3, 5, 5), (3, 5, 5), (4, 5, 5)]
    filters = written.filters()
    assert filters is not None
    assert filters.shape == (4, 1, 3, 3)
    (tmp_path / "1.0" / "filters.npy").write_bytes(b"changed")
    with pytest.raises(PackageError, match=r"filters.npy has been changed"):
        package.read(tmp_path / "1.0")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"outputs": contents("tapped")["fields"]["outputs"][:3]}, "there are test tensors for .*'tap_features'"),
        ({"input": {"channels": 1, "min_size": 16, "steps": []}, "task": "segmentation"}, "fixed input size"),
    ],
)
def test_taps_must_fit_the_rest(change: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    parts = contents("tapped")
    with pytest.raises((PackageError, ValidationError), match=sentence):
        package.write(tmp_path / "1.0", **parts | {"fields": parts["fields"] | change})


def edited(folder: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    document = yaml.safe_load((folder / "rdf.yaml").read_text())
    edit(document)
    (folder / "rdf.yaml").write_text(yaml.safe_dump(document))
    return folder


def striate(document: dict[str, Any]) -> dict[str, Any]:
    ours: dict[str, Any] = document["config"]["striate"]
    return ours


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda d: striate(d).update(tresholds=1), "tresholds"),
        (lambda d: striate(d)["input"].update(stepp=2), r"input\.stepp"),
        (lambda d: striate(d)["classes"][0].update(color="#000000"), r"classes\.0\.color"),
        (lambda d: striate(d)["classes"][0].update(threshold=1.5), r"classes\.0\.threshold.*1\.5"),
        (lambda d: striate(d).pop("task"), "task"),
        (lambda d: striate(d).update(task="detection"), "task.*detection"),
        (lambda d: striate(d)["objects"].update(seeds="sed"), "'sed'.* no labels of this model"),
        (lambda d: striate(d).update(auxiliary=["nucleus"]), "not all different"),
        (lambda d: d.update(version="latest"), "version.*latest"),
        (lambda d: d.update(name="../up"), "name"),
        (lambda d: d["inputs"][0]["preprocessing"][1]["kwargs"].update(min_percentil=1), "min_percentil"),
        (lambda d: d["inputs"][0]["preprocessing"][0].update(id="custom"), "custom"),
        (lambda d: d["inputs"].append(d["inputs"][0]), "not a description written by Striate"),
        (lambda d: d.pop("config"), "not a description written by Striate.*config"),
        (lambda d: d["weights"].pop("onnx"), "not a description written by Striate.*onnx"),
        (lambda d: striate(d).update(halo=2**40), "halo.*4096"),
        (lambda d: striate(d)["input"].update(step=2**40), "multiples of .* at most 1,024"),
    ],
)
def test_a_description_that_is_wrong_names_the_field(
    written: Path, edit: Callable[[dict[str, Any]], object], says: str
) -> None:
    with pytest.raises(PackageError, match=says):
        package.read(edited(written, edit))


@pytest.mark.parametrize(
    "source", ["../model.onnx", "/etc/passwd", "a/b.onnx", "a\\b.onnx", "https://host/m.onnx", "..", ".hidden", ""]
)
@pytest.mark.parametrize("place", ["weights", "input", "output"])
def test_a_file_name_leads_nowhere_else(written: Path, source: str, place: str) -> None:
    def edit(document: dict[str, Any]) -> None:
        entry = {
            "weights": document["weights"]["onnx"],
            "input": document["inputs"][0]["test_tensor"],
            "output": document["outputs"][0]["test_tensor"],
        }[place]
        entry["source"] = source

    with pytest.raises(PackageError, match="source"):
        package.read(edited(written, edit))


@pytest.mark.parametrize("name", ["model.onnx", "test_input.npy", "test_probabilities.npy"])
def test_a_changed_byte_is_found(written: Path, name: str) -> None:
    content = bytearray((written / name).read_bytes())
    content[-1] ^= 1
    (written / name).write_bytes(content)
    with pytest.raises(PackageError, match=f"{name} has been changed"):
        package.read(written)


@pytest.mark.parametrize("name", ["model.onnx", "test_input.npy", "test_probabilities.npy", "rdf.yaml"])
def test_a_missing_file_is_named(written: Path, name: str) -> None:
    (written / name).unlink()
    with pytest.raises(PackageError, match=f"{name} cannot be read: No such file"):
        package.read(written)


@pytest.mark.parametrize(
    "text", [b"", b"- a\n- b", b"just words", b"a: [", b"\xff\xfe\0", b"!!python/object/apply:os.system ['false']"]
)
def test_a_description_that_is_none_is_refused(written: Path, text: bytes) -> None:
    (written / "rdf.yaml").write_bytes(text)
    with pytest.raises(PackageError, match=r"rdf\.yaml"):
        package.read(written)


def replaced(folder: Path, name: str, content: bytes) -> Path:
    """The file replaced, and its digest in the description too."""
    (folder / name).write_bytes(content)
    text = (folder / "rdf.yaml").read_text()
    document = yaml.safe_load(text)
    old = document["inputs"][0]["test_tensor"]["sha256"]
    (folder / "rdf.yaml").write_text(text.replace(old, hashlib.sha256(content).hexdigest()))
    return folder


def saved(array: Any, tmp_path: Path) -> bytes:
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    return (tmp_path / "a.npy").read_bytes()


def test_a_pickle_is_not_opened(written: Path, tmp_path: Path) -> None:
    opened = tmp_path / "opened"

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(opened),)

    content = saved(np.array([Trap()], dtype=object), tmp_path)
    with pytest.raises(PackageError, match=r"test_input\.npy is not a \.npy array"):
        package.read(replaced(written, "test_input.npy", content))
    assert not opened.exists()


VAST = b"{'descr': '<f4', 'fortran_order': False, 'shape': (999999999999999,), }\n"


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\3\4", b"\x93NUMPY\1\0\4\0{{{{", b"\x93NUMPY\1\0" + len(VAST).to_bytes(2, "little") + VAST],
    ids=["empty", "zip", "a broken header", "vast"],
)
def test_a_tensor_that_is_none_is_refused(written: Path, content: bytes) -> None:
    with pytest.raises(PackageError, match=r"test_input\.npy is not a \.npy array"):
        package.read(replaced(written, "test_input.npy", content))


@pytest.mark.parametrize(
    "array",
    [np.zeros((1, 1, 16, 16), np.float32), np.zeros((3, 16, 16), np.float32), np.zeros((1, 3, 16, 16), np.float64)],
    ids=["channels", "no batch axis", "dtype"],
)
def test_a_test_tensor_of_another_shape_is_refused(written: Path, array: Any, tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=r"test_input is .* rdf\.yaml describes"):
        package.read(replaced(written, "test_input.npy", saved(array, tmp_path)))


@pytest.mark.parametrize(
    "changes",
    [
        {"fields": everything_fields() | {"stride": 0}},
        {"test_outputs": {"probabilities": np.zeros((1, 2, 5, 5), np.float32)}},
        {"test_input": np.zeros((1, 3, 16, 16))},
    ],
    ids=["a field out of bounds", "an output of another size", "a dtype"],
)
@pytest.mark.parametrize("before", [True, False], ids=["over an old one", "anew"])
def test_what_would_not_be_read_back_changes_nothing(changes: dict[str, Any], before: bool, tmp_path: Path) -> None:
    folder = tmp_path / "tiny" / "1.0"
    if before:
        package.write(folder, **contents("segmenter"))
    old = sorted((path.name, path.read_bytes()) for path in folder.glob("*"))
    with pytest.raises((PackageError, ValidationError)):
        package.write(folder, **(contents("segmenter") | changes))
    assert sorted((path.name, path.read_bytes()) for path in folder.glob("*")) == old
    assert list(folder.parent.iterdir()) == ([folder] if before else [])


def test_a_package_replaces_the_one_before_it(tmp_path: Path) -> None:
    old = package.write(tmp_path / "1.0", **contents("classifier"))
    new = package.write(tmp_path / "1.0", **contents("segmenter"))
    assert new.sha256 != old.sha256
    assert not (tmp_path / "1.0" / "test_cam.npy").exists()
    assert list(tmp_path.iterdir()) == [tmp_path / "1.0"]


def test_a_package_may_be_moved(written: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(written, tmp_path / "elsewhere")
    assert package.read(moved).sha256 == package.read(written).sha256


def test_the_same_parts_make_the_same_bytes(tmp_path: Path) -> None:
    first, second = (package.write(tmp_path / version, **contents("everything")) for version in ("1", "2"))
    assert first.sha256 == second.sha256
