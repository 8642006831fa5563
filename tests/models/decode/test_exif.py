"""Tests of the EXIF orientation: the tag's number, or upright."""

import pytest
from PIL.Image import Exif

from models.decode.exif import orientation_of
from tests.models.decode.files import ORIENTATION


@pytest.mark.parametrize(
    ("tags", "orientation"),
    [
        ({}, 1),
        ({ORIENTATION: 1}, 1),
        ({ORIENTATION: 6}, 6),
        ({ORIENTATION: 8, 305: "a scanner"}, 8),
        ({ORIENTATION: "6"}, 1),  # a damaged file's text
        ({ORIENTATION: (6, 6)}, 1),
        ({305: 6}, 1),  # another tag
    ],
)
def test_an_orientation_is_the_tags_number_or_upright(tags: dict[int, object], orientation: int) -> None:
    exif = Exif()
    exif.update(tags)
    assert orientation_of(exif) == orientation
