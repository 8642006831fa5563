from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.image import Array
from tests.data import real_data
from tests.training.data.files import load
from training.data.examples import DataError

IMAGES = np.arange(3 * 4 * 4, dtype=np.uint8).reshape(3, 4, 4)
SINGLE = np.array([[0], [1], [1]], np.uint8)
MULTI = np.array([[0, 1, 1], [0, 0, 0], [1, 0, 0]], np.uint8)


def npz(path: Path, *, images: Array = IMAGES, labels: Array = SINGLE, **changes: Any) -> Path:
    arrays = {f"{split}_{kind}": array for split in ("train", "val", "test") for kind, array in
              (("images", images), ("labels", labels))}  # fmt: skip
    arrays |= changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


@pytest.mark.parametrize("colour", [False, True], ids=["grey", "colour"])
def test_single_labels_are_class_indices(tmp_path: Path, colour: bool) -> None:
    images = np.repeat(IMAGES[..., None], 3, axis=3) if colour else IMAGES
    data = load(loader="medmnist", path=npz(tmp_path / "x.npz", images=images), labels=["no", "yes"])
    assert data.classes == ("no", "yes")
    assert len(data.examples) == 9
    example = data.examples[5]
    assert (example.name, example.group, example.stratum, example.split) == ("val/2", "val/2", "1", "validation")
    assert example.image().shape == (4, 4, 3 if colour else 1)
    np.testing.assert_array_equal(example.image()[:, :, 0], IMAGES[2])
    assert (example.truth().shape, example.truth().dtype, int(example.truth())) == ((), np.int64, 1)


def test_several_labels_are_a_vector(tmp_path: Path) -> None:
    data = load(loader="medmnist", path=npz(tmp_path / "x.npz", labels=MULTI))
    assert data.classes == ("0", "1", "2")
    np.testing.assert_array_equal([e.truth() for e in data.examples[:3]], MULTI)
    assert data.examples[0].truth().dtype == np.float32
    assert [e.stratum for e in data.examples[:3]] == ["011", "000", "100"]


@pytest.mark.parametrize(
    ("changes", "recipe", "says"),
    [
        ({"val_labels": None}, {}, r"x\.npz: no array 'val_labels'"),
        ({"test_labels": SINGLE[:2]}, {}, r"x\.npz: test has 3 images and 2 labels"),
        ({"train_images": np.zeros((3, 4, 4, 4))}, {}, r"x\.npz: train_images is \(3, 4, 4, 4\)"),
        ({"train_labels": SINGLE.astype(float)}, {}, r"x\.npz: train_labels has float64"),
        ({"train_labels": -SINGLE.astype(int)}, {}, r"x\.npz: train_labels"),
        ({"labels": MULTI * 2}, {}, r"x\.npz: train_labels"),
        ({}, {"labels": ["a", "b", "c"]}, "2 classes, but the recipe has 3"),
        ({"labels": SINGLE * 2}, {}, "no image of class '1'"),
        ({"labels": MULTI[:, :2] * [[0, 1]]}, {"labels": ["a", "b"]}, "no image of class 'a'"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, changes: dict[str, Any], recipe: dict[str, Any], says: str) -> None:
    path = npz(tmp_path / "x.npz", **changes)
    with pytest.raises(DataError, match=says):
        load(loader="medmnist", path=path, **recipe)


@pytest.mark.parametrize("content", [None, b"", b"text", b"PK\3\4 and no more", b"\x93NUMPY\1\0"])
def test_what_is_no_npz_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"x\.npz"):
        load(loader="medmnist", path=path)


def test_pneumoniamnist() -> None:
    path = real_data("medmnist/pneumoniamnist.npz")
    data = load(loader="medmnist", path=path, labels=["normal", "pneumonia"])
    assert Counter(e.split for e in data.examples) == {"train": 4708, "validation": 524, "test": 624}
    assert sum(int(e.truth()) for e in data.examples if e.split == "test") == 390
    assert data.examples[0].image().shape == (28, 28, 1)
