import numpy as np
import PIL.Image
import pytest

from models.decode import decode
from models.errors import DamagedImage, TooManyPixels
from models.source import Image
from tests.models.decode.files import STORED, UPRIGHT, noise, pillow, png


def read(data: bytes) -> Image:
    return decode(data, max_pixels=1_000_000)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("stored", "kept"),
    [((5, 7), 1), ((5, 7, 2), 1), ((5, 7, 3), 3), ((5, 7, 4), 3)],  # grey, grey + alpha, RGB, RGBA
)
def test_pixels_are_the_files_own_without_alpha(stored: tuple[int, ...], kept: int, dtype: type) -> None:
    pixels = noise(*stored, dtype=dtype)
    image = read(png(pixels))
    assert image.pixels.dtype == dtype
    np.testing.assert_array_equal(image.pixels, pixels.reshape(5, 7, -1)[:, :, :kept])
    assert (image.width, image.height, image.channels, image.format) == (7, 5, kept, "png")


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (PIL.Image.fromarray(np.array([[True, False]])), [[[255], [0]]]),  # 1 bit, stretched to 8
        (PIL.Image.fromarray(np.array([[0, 7]], np.uint8)), [[[0], [7]]]),
    ],
    ids=["1 bit", "8 bits"],
)
def test_few_bits_are_stretched(picture: PIL.Image.Image, expected: list[list[list[int]]]) -> None:
    np.testing.assert_array_equal(read(pillow(picture, "PNG")).pixels, expected)


@pytest.mark.parametrize("transparency", [None, 1], ids=["opaque", "with a transparent entry"])
def test_a_palette_is_looked_up(transparency: int | None) -> None:
    picture = PIL.Image.fromarray(np.array([[0, 1, 2]], np.uint8), "L").convert("P")
    picture.putpalette([255, 0, 0, 0, 255, 0, 10, 20, 30])
    options = {} if transparency is None else {"transparency": transparency}
    np.testing.assert_array_equal(
        read(pillow(picture, "PNG", **options)).pixels, [[[255, 0, 0], [0, 255, 0], [10, 20, 30]]]
    )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_it_upright(orientation: int) -> None:
    image = read(pillow(STORED, "PNG", orientation=orientation))
    np.testing.assert_array_equal(image.pixels[:, :, 0], np.array(UPRIGHT[orientation]) * 40)


def test_a_16_bit_ramp_keeps_every_value() -> None:
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    np.testing.assert_array_equal(read(png(ramp)).pixels[:, :, 0], ramp)


@pytest.mark.parametrize(
    ("dots_per_inch", "pixel_size_um"),
    [(72, None), (508, None), (50_800, 0.5)],  # a screen, a scanner, a microscope
)
def test_the_pixel_size_is_the_specimens(dots_per_inch: int, pixel_size_um: float | None) -> None:
    stated = read(pillow(noise(4, 4), "PNG", dpi=(dots_per_inch, dots_per_inch))).pixel_size_um
    assert stated == (None if pixel_size_um is None else pytest.approx(pixel_size_um, rel=1e-5))


def test_too_many_pixels_are_refused_before_they_are_decoded() -> None:
    header_only = png(noise(40, 50))[:33]
    with pytest.raises(TooManyPixels, match=r"50 x 40, 2,000 pixels; .* at most 1,999"):
        decode(header_only, max_pixels=1999)


@pytest.mark.parametrize("chunk", [b"pHYs\0\0\0\1", b"eXIfMM\0", b"eXIfxx\0*\0\0\0\x08"])
def test_a_damaged_chunk_before_the_pixels_is_a_damaged_image(chunk: bytes) -> None:
    good = png(noise(4, 4))
    damaged = good[:33] + (len(chunk) - 4).to_bytes(4, "big") + chunk + b"\0\0\0\0" + good[33:]
    with pytest.raises(DamagedImage):
        read(damaged)
