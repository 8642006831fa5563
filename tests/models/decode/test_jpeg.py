import numpy as np
import PIL.Image
import pytest

from models.decode import decode
from models.errors import DamagedImage, TooManyPixels
from models.image import Array
from models.source import Image
from tests.models.decode.files import STORED, UPRIGHT, noise, pillow

BLOCK = np.ones((8, 8), np.uint8)  # JPEG keeps a flat block of 8 x 8 as it is


def read(data: bytes) -> Image:
    return decode(data, max_pixels=1_000_000)


def blocks(values: Array) -> Array:
    return np.kron(values, BLOCK)


@pytest.mark.parametrize("progressive", [False, True])
def test_grey_stays_one_channel(progressive: bool) -> None:
    image = read(pillow(blocks(STORED), "JPEG", quality=100, progressive=progressive))
    assert (image.pixels.dtype, image.format, image.pixel_size_um) == (np.uint8, "jpeg", None)
    np.testing.assert_allclose(image.pixels[:, :, 0], blocks(STORED), atol=1)


def test_colour_is_red_green_blue() -> None:
    red = np.zeros((16, 24, 3), np.uint8)
    red[:, :, 0] = 255
    image = read(pillow(red, "JPEG", quality=100))
    assert (image.width, image.height, image.channels) == (24, 16, 3)
    np.testing.assert_allclose(image.pixels, red, atol=2)


def test_cmyk_becomes_the_colours_that_it_prints() -> None:
    yellow = PIL.Image.new("CMYK", (16, 16), (0, 0, 255, 0))
    np.testing.assert_allclose(read(pillow(yellow, "JPEG", quality=100)).pixels[8, 8], [255, 255, 0], atol=3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_it_upright(orientation: int) -> None:
    image = read(pillow(blocks(STORED), "JPEG", quality=100, orientation=orientation))
    np.testing.assert_allclose(image.pixels[:, :, 0], blocks(np.array(UPRIGHT[orientation], np.uint8) * 40), atol=1)


def test_too_many_pixels_are_refused_before_they_are_decoded() -> None:
    data = pillow(noise(40, 50), "JPEG")
    header_only = data[: data.index(b"\xff\xda") + 20]  # up to the start of the scan
    with pytest.raises(TooManyPixels, match="50 x 40"):
        decode(header_only, max_pixels=1999)
    with pytest.raises(DamagedImage):
        decode(header_only, max_pixels=2000)
