"""Our PNG writer, read back by two others."""

import io

import imagecodecs
import numpy as np
import PIL.Image
import pytest

from service.encode.png import png

SHAPES = [(1, 1), (1, 9), (9, 1), (64, 48), (300, 257)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("dtype", "channels"), [(np.uint8, ()), (np.uint8, (3,)), (np.uint16, ())])
def test_pixels_are_read_back_as_they_were(shape: tuple[int, int], dtype: type, channels: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (*shape, *channels)).astype(dtype)
    data = png(pixels)
    assert (imagecodecs.png_decode(data) == pixels).all()
    assert (np.asarray(PIL.Image.open(io.BytesIO(data))) == pixels).all()


@pytest.mark.parametrize("arranged", [np.asfortranarray, lambda p: p[::2, ::-1], lambda p: p.astype(">u2")])
def test_any_memory_layout_will_do(arranged) -> None:
    pixels = arranged(np.arange(6000, dtype=np.uint16).reshape(60, 100))
    assert (imagecodecs.png_decode(png(pixels)) == pixels).all()


def test_other_types_are_refused() -> None:
    with pytest.raises(TypeError, match="float32"):
        png(np.zeros((4, 4), np.float32))
