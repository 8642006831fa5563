"""Tests of what every decoder shares: names of formats in a sentence, and the sides of a turned image."""

import pytest

from models.decode.decoder import Format, listed, turned

PNG, JPEG, TIFF = (Format(name, (), ()) for name in ("PNG", "JPEG", "TIFF"))


@pytest.mark.parametrize(
    ("formats", "expected"), [((PNG,), "PNG"), ((PNG, JPEG), "PNG and JPEG"), ((PNG, JPEG, TIFF), "PNG, JPEG and TIFF")]
)
def test_formats_are_listed_as_in_a_sentence(formats: tuple[Format, ...], expected: str) -> None:
    assert listed(formats) == expected
    assert listed(formats, last="or") == expected.replace(" and ", " or ")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations_5_to_8_exchange_the_sides(orientation: int) -> None:
    assert turned(7, 5, orientation) == ((5, 7) if orientation >= 5 else (7, 5))
