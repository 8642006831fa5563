"""Tests of examples: names that tell their patient and columns, and files that are read or named in the error."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from tests.training.data.files import damaged, image
from training.data.examples import (
    DataError,
    Example,
    GroupPattern,
    check_mask,
    columns_of,
    constant,
    group_of,
    image_files,
    read_image,
)


def test_named_groups_of_a_pattern_are_columns() -> None:
    pattern = r"(?P<site>[A-Z]+)-(?P<patient>\d+)_(?P<view>PA|AP)?"
    assert columns_of("NY-17_PA.png", pattern) == {"site": "NY", "patient": "17", "view": "PA"}
    assert columns_of("NY-17_.png", pattern) == {"site": "NY", "patient": "17"}
    assert columns_of("other.png", pattern) == columns_of("other.png", None) == {}
    assert group_of("NY-17_PA.png", pattern, otherwise="") == "17"  # by its name, though it is not the first
    assert group_of("person1_x.png", r"(person\d+)", otherwise="") == "person1"


@pytest.mark.parametrize(
    ("file", "pattern", "group"),
    [
        ("p7_1.png", r"^(p\d+)_", "p7"),
        ("scan p7.png", r"^(p\d+)_", "scan p7"),  # no match
        ("_1.png", r"^(p\d+)?_", "scan p7"),  # a match without its group
        ("p7_1.png", None, "scan p7"),
    ],
)
def test_a_file_without_a_group_is_its_own(file: str, pattern: str | None, group: str) -> None:
    assert group_of(file, pattern, otherwise="scan p7") == group


@pytest.mark.parametrize(("pattern", "says"), [(r"p\d+", "has no group"), (r"(p\d+", "is not a regular expression")])
def test_a_pattern_without_a_patient_is_refused(pattern: str, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        TypeAdapter(GroupPattern).validate_python(pattern)


def test_a_folders_images_are_listed_by_name_without_hidden_files(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpeg", ".c.png", "notes.txt", "d.tiff"):
        (tmp_path / name).touch()
    assert [file.name for file in image_files(tmp_path)] == ["a.jpeg", "b.PNG", "d.tiff"]
    with pytest.raises(DataError, match="nowhere: no such folder"):
        image_files(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: no image; PNG, JPEG and TIFF files count"):
        image_files(tmp_path / "empty")


def test_an_image_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    pixels = read_image(image(tmp_path / "grey.png", 7, size=(2, 3)))
    assert (pixels.shape, pixels.dtype, np.unique(pixels).tolist()) == ((2, 3, 1), np.uint8, [7])
    with pytest.raises(DataError, match=r"nowhere\.png: No such file"):
        read_image(tmp_path / "nowhere.png")
    with pytest.raises(DataError, match=r"half\.png: "):
        read_image(damaged(tmp_path / "half.png"))


def test_the_file_of_an_example_is_the_path_that_it_reads(tmp_path: Path) -> None:
    for read, file in ((partial(read_image, tmp_path), tmp_path), (constant(3), None), (partial(int, "3"), None)):
        assert Example("a", "a", "", None, read, constant(0)).file == file


def test_a_mask_is_of_its_images_size() -> None:
    mask = np.zeros((2, 3))
    assert check_mask(mask, np.zeros((2, 3, 1)), name="a") is mask
    with pytest.raises(DataError, match="a: the mask is 3 x 2, its image 2 x 3 pixels"):
        check_mask(mask, np.zeros((3, 2, 1)), name="a")
