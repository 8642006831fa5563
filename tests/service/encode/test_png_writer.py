"""Tests of the PNG writer with two independent readers."""

import io

import imagecodecs
import numpy as np
import PIL.Image
import pytest

from service.encode.png_writer import png, png_binary, png_indexed

SHAPES = [(1, 1), (1, 9), (9, 1), (64, 48), (300, 257)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("dtype", "channels"), [(np.uint8, ()), (np.uint8, (3,)), (np.uint16, ())])
def test_pixels_are_preserved(shape: tuple[int, int], dtype: type, channels: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (*shape, *channels)).astype(dtype)
    data = png(pixels)
    assert (imagecodecs.png_decode(data) == pixels).all()
    assert (np.asarray(PIL.Image.open(io.BytesIO(data))) == pixels).all()


@pytest.mark.parametrize("arranged", [np.asfortranarray, lambda p: p[::2, ::-1], lambda p: p.astype(">u2")])
def test_any_memory_layout_is_accepted(arranged) -> None:
    pixels = arranged(np.arange(6000, dtype=np.uint16).reshape(60, 100))
    assert (imagecodecs.png_decode(png(pixels)) == pixels).all()


def test_other_types_are_rejected() -> None:
    with pytest.raises(TypeError, match="float32"):
        png(np.zeros((4, 4), np.float32))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("colours", [1, 2, 17, 256])
def test_indexed_pixels_are_read_as_values_or_colours(shape: tuple[int, int], colours: int) -> None:
    random = np.random.default_rng(0)
    values = random.integers(0, colours, shape).astype(np.uint8)
    palette = random.integers(0, 256, (colours, 3)).astype(np.uint8)
    data = png_indexed(values, palette)
    with PIL.Image.open(io.BytesIO(data)) as image:
        assert (np.asarray(image) == values).all()
        assert (np.asarray(image.convert("RGB")) == palette[values]).all()
    assert (imagecodecs.png_decode(data) == palette[values]).all()


@pytest.mark.parametrize("shape", [*SHAPES, (5, 8), (5, 15)])
def test_a_binary_mask_is_read_as_black_and_white(shape: tuple[int, int]) -> None:
    mask = np.random.default_rng(0).random(shape) < 0.5
    data = png_binary(mask)
    with PIL.Image.open(io.BytesIO(data)) as image:
        assert image.mode == "1"
        assert (np.asarray(image) == mask).all()
    assert (imagecodecs.png_decode(data) == 255 * mask).all()
