"""Tests of a smaller JPEG's planes: their size, and that a sample or a mean beyond 8 bits is seen in them."""

import numpy as np
import pytest
import simplejpeg

from models.decode.jpeg_damage import damage_of
from models.decode.jpeg_header import Jpeg
from models.decode.jpeg_planes import Plane, Planes, leaves_range, smaller
from models.decode.jpeg_range import Visible
from tests.models.decode.crafted_jpeg import coded
from tests.models.decode.files import noise, pillow


@pytest.mark.parametrize(
    ("shape", "options", "size"),
    [
        ((9, 17), {}, (2, 16, 24)),  # whole blocks of 8
        ((9, 17, 3), {"subsampling": 0}, (2, 16, 24)),
        ((9, 17, 3), {"subsampling": 2}, (2, 16, 32)),  # of 16, as its chroma has
        ((9, 17, 3), {"progressive": True}, (8, 9, 17)),
        ((1024, 1024), {"quality": 50}, (2, 1024, 1024)),
        ((1024, 1025), {"quality": 50}, (8, 1024, 1025)),
    ],
    ids=str,
)
def test_a_small_sequential_jpeg_is_seen_by_half(
    shape: tuple[int, ...], options: dict[str, object], size: object
) -> None:
    found = smaller(Jpeg(pillow(noise(*shape), "JPEG", **options)))
    assert (found.planes.factor, found.height, found.width) == size


@pytest.mark.parametrize(
    ("subsampling", "chroma"), [("444", (4, 4)), ("422", (4, 8)), ("420", (8, 8)), ("440", (8, 4)), ("411", (4, 16))]
)
def test_a_block_of_chroma_takes_more_pixels(subsampling: str, chroma: tuple[int, int]) -> None:
    data = simplejpeg.encode_jpeg(noise(40, 40, 3), colorsubsampling=subsampling)
    assert [(plane.down, plane.across) for plane in smaller(Jpeg(data)).planes.each] == [(4, 4), chroma, chroma]


@pytest.mark.parametrize(("amplitude", "damaged"), [(10, False), (58, False), (90, True), (127, True)])
def test_a_coefficient_that_no_block_of_8_bits_has_is_damage(amplitude: int, damaged: bool) -> None:
    size = amplitude.bit_length()  # in steps of 16; a half in black and one in white make 58
    data = coded(9, dc=0, ac=0, other=size, block=f"010{amplitude:b}0")
    assert (damage_of(Jpeg(data)) == "its brightness leaves the range of 8 bits") == damaged


def plane(*, furthest: int = 100, furthest_mean: float = 50) -> Plane:
    return Plane(Visible(bytes(64), furthest), furthest_mean, 4, 4)


@pytest.mark.parametrize("component", [0, 1, 2])
@pytest.mark.parametrize(
    ("place", "value", "leaves"),
    [
        ((slice(4, 8), slice(8, 12)), 128 + 50, False),
        ((slice(4, 8), slice(8, 12)), 128 + 51, True),  # the mean of a block
        ((slice(4, 8), slice(8, 12)), 128 - 51, True),
        ((slice(2, 6), slice(8, 12)), 128 + 51, False),  # as many pixels of two blocks
        ((3, 7), 128 + 100, False),
        ((3, 7), 128 + 101, True),
        ((3, 7), 128 - 101, True),
    ],
)
def test_each_component_has_its_bounds(component: int, place: object, value: int, leaves: bool) -> None:
    pixels = np.full((16, 24, 3), 128, np.uint8)
    pixels[(*place, component)] = value  # type: ignore[misc]
    planes = [plane(furthest=127, furthest_mean=127) for _ in range(3)]
    planes[component] = plane()
    assert leaves_range(pixels, Planes(2, (8, 8), planes, b"")) == leaves
