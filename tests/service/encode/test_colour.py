"""Tests of colour rendering: display range, colour maps and blending."""

import matplotlib
import numpy as np
import pytest

from service.encode.colour import COLORMAPS, blend, colormap, displayable, levels, rgb


@pytest.mark.parametrize("name", COLORMAPS)
def test_colour_maps_are_matplotlibs(name: str) -> None:
    values = np.linspace(0, 1, 256)[None]
    expected = (matplotlib.colormaps[name](values)[..., :3] * 255).round()
    assert np.abs(colormap(values, name).astype(int) - expected).max() <= 1


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("offset", [0, 20_000])
def test_deep_images_are_stretched_not_clipped(dtype: type, offset: int) -> None:
    ramp = (np.arange(10_000).reshape(100, 100, 1) + offset).astype(dtype)
    shown = displayable(ramp)
    assert (shown.shape, shown.dtype) == ((100, 100, 3), np.uint8)
    assert (shown.min(), shown.max()) == (0, 255)
    assert len(np.unique(shown)) == 256


def test_eight_bits_stay_as_they_are() -> None:
    colour = np.random.default_rng(0).integers(0, 100, (5, 6, 3)).astype(np.uint8)
    assert (displayable(colour) == colour).all()


def test_a_constant_deep_image_is_black() -> None:
    assert (displayable(np.full((3, 3, 1), 7, np.uint16)) == 0).all()


def test_a_range_beyond_all_numbers_is_black() -> None:
    assert displayable(np.array([[[-1e308], [1e308]]])).max() == 0


def test_hue_is_kept_where_channels_differ_in_range() -> None:
    pixels = np.zeros((10, 10, 3), np.uint16)
    pixels[:, :5, 0], pixels[:, :5, 1] = 4000, 1000
    red, green, blue = displayable(pixels)[0, 0]
    assert (red, green, blue) == (255, 64, 0)


def test_a_blend_is_the_weighted_mean() -> None:
    below, above = np.full((1, 3, 3), 100, np.uint8), np.full((1, 3, 3), 200, np.uint8)
    assert blend(below, above, np.array([[0.0, 0.25, 1.0]]))[0, :, 0].tolist() == [100, 125, 200]


@pytest.mark.parametrize("weight", [0.0, 1 / 512, 0.25, 0.4, 0.6, 0.999, 1.0])
def test_a_blend_of_any_two_intensities_is_within_one_of_the_weighted_mean(weight: float) -> None:
    below, above = (np.repeat(side[..., None], 3, axis=2).astype(np.uint8) for side in np.mgrid[:256, :256])
    exact = below + (above.astype(float) - below) * weight
    assert np.abs(blend(below, above, np.full((256, 256), weight)) - exact).max() <= 1
    assert (blend(below, below, np.full((256, 256), weight)) == below).all()


def test_levels_are_rounded_to_the_nearest() -> None:
    assert levels(np.array([[0.0, 0.4 / 255, 0.6 / 255, 254.4 / 255, 1.0]])).tolist() == [[0, 0, 1, 254, 255]]


def test_hexadecimal_colours() -> None:
    assert rgb("#e69f00") == (230, 159, 0)
