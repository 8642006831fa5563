from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from models.image import Array
from tests.data import real_data
from tests.models.decode.files import tiff
from tests.training.data.files import damaged, image, load
from training.data.examples import DataError

CLASSES = {"background": 0, "membrane": 255, "vesicle": 100}
MASK = np.array([[0, 255, 255], [100, 0, 255]], np.uint8)


def pair(root: Path, mask: Array = MASK, *, size: tuple[int, int] = (2, 3)) -> dict[str, Any]:
    image(root / "images" / "p1_a.png", size=size)
    image(root / "masks" / "p1_a.png", mask)
    return {"loader": "mask_pairs", "path": root}


def test_mask_values_become_class_indices(tmp_path: Path) -> None:
    data = load(**pair(tmp_path), classes=CLASSES, group="^(p[0-9]+)_")
    assert data.classes == ("background", "membrane", "vesicle")
    (example,) = data.examples
    assert (example.name, example.group, example.split) == ("p1_a.png", "p1", None)
    assert example.image().shape == (2, 3, 1)
    assert example.truth().dtype == np.int32
    np.testing.assert_array_equal(example.truth(), [[0, 1, 1], [2, 0, 1]])


def test_a_label_image_keeps_its_numbers(tmp_path: Path) -> None:
    recipe = pair(tmp_path)
    (tmp_path / "masks" / "p1_a.png").unlink()
    (tmp_path / "masks" / "p1_a.tif").write_bytes(tiff(MASK.astype(np.uint16) * 200))  # matched by stem
    data = load(**recipe, objects="cell")
    assert data.classes == ("cell",)
    np.testing.assert_array_equal(data.examples[0].truth(), MASK.astype(np.int32) * 200)


@pytest.mark.parametrize(
    ("mask", "says"),
    [
        (np.zeros((3, 3), np.uint8), r"masks/p1_a\.png: the mask is 3 x 3, its image 3 x 2"),
        (MASK + np.uint8(1), r"masks/p1_a\.png: unknown values \[1, 101\]"),
        (np.dstack([MASK, MASK, MASK + 1]), r"masks/p1_a\.png: the mask has colours"),
    ],
    ids=["another size", "values of no class", "colours"],
)
def test_a_mask_that_does_not_fit_is_named(tmp_path: Path, mask: Array, says: str) -> None:
    with pytest.raises(DataError, match=says):
        load(**pair(tmp_path, mask), classes=CLASSES).examples[0].truth()


def test_a_mask_of_fractions_is_named(tmp_path: Path) -> None:
    recipe = pair(tmp_path)
    (tmp_path / "masks" / "p1_a.png").write_bytes(tiff(MASK / 255))
    with pytest.raises(DataError, match=r"p1_a\.png: the mask has colours or fractions"):
        load(**recipe, objects="cell").examples[0].truth()


def test_grey_saved_as_colour_is_a_mask(tmp_path: Path) -> None:
    example = load(**pair(tmp_path, np.dstack([MASK] * 3)), classes=CLASSES).examples[0]
    np.testing.assert_array_equal(example.truth(), [[0, 1, 1], [2, 0, 1]])


def test_an_image_without_a_mask_is_named(tmp_path: Path) -> None:
    recipe = pair(tmp_path)
    image(tmp_path / "images" / "p2.png")
    with pytest.raises(DataError, match=r"images/p2\.png: no mask .*masks/p2\.\*"):
        load(**recipe, classes=CLASSES)


def test_two_files_of_one_stem_are_named(tmp_path: Path) -> None:
    recipe = pair(tmp_path)
    image(tmp_path / "images" / "p1_a.tif")
    with pytest.raises(DataError, match=r"p1_a\.tif: p1_a\.png has the same stem"):
        load(**recipe, classes=CLASSES)


@pytest.mark.parametrize("folder", ["images", "masks"])
def test_a_missing_folder_is_named(tmp_path: Path, folder: str) -> None:
    with pytest.raises(DataError, match="nowhere: no such folder"):
        load(**(pair(tmp_path) | {folder: tmp_path / "nowhere"}), classes=CLASSES)


@pytest.mark.parametrize("folder", ["images", "masks"])
def test_an_unreadable_file_is_named(tmp_path: Path, folder: str) -> None:
    recipe = pair(tmp_path)
    damaged(tmp_path / folder / "p1_a.png")
    with pytest.raises(DataError, match=rf"{folder}/p1_a\.png: The PNG file is damaged"):
        load(**recipe, classes=CLASSES).examples[0].truth()


@pytest.mark.parametrize(
    "meaning",
    [{}, {"classes": CLASSES, "objects": "cell"}, {"classes": {"one": 1}}, {"classes": {"a": 1, "b": 1}}],
    ids=["none", "both", "one class", "one value"],
)
def test_a_mask_means_one_thing(tmp_path: Path, meaning: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        load(**pair(tmp_path), **meaning)


def test_isbi_2012() -> None:
    root = real_data("isbi2012/train")
    data = load(loader="mask_pairs", path=root, masks="label", classes={"membrane": 0, "cell": 255})
    assert len(data.examples) == 30
    assert data.examples[0].truth().shape == (512, 512)
    assert 0.7 < data.examples[0].truth().mean() < 0.85
