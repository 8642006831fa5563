import io

import imagecodecs
import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest

from models.decode import decode, probe
from models.errors import DamagedImage, TooManyPixels, UnsupportedImage
from models.image import Array
from models.source import Image
from tests.data import real_data
from tests.models.decode.crafted_jpeg import CODES, EOI, QUANTISATION, SOI, frame, grey, scan, zeros
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


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0", "4:1:1"])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("size", [(1, 1), (7, 9), (17, 33)])
def test_pixels_are_pillows(mode: str, subsampling: str, size: tuple[int, int]) -> None:
    picture = PIL.Image.fromarray(noise(*size, 3)).convert(mode)
    data = pillow(picture, "JPEG", subsampling=subsampling)
    with PIL.Image.open(io.BytesIO(data)) as opened:
        expected = np.asarray(opened.convert("RGB") if mode == "CMYK" else opened)
    np.testing.assert_array_equal(read(data).pixels.squeeze(), expected.squeeze())


@pytest.mark.parametrize("subsampling", ["444", "420"])
def test_twelve_bits_stay_twelve(subsampling: str) -> None:
    slope = np.add.outer(np.arange(64), np.arange(48)).astype(np.uint16) * 36  # 0 ... 3960
    data = imagecodecs.jpeg8_encode(slope, level=100, bitspersample=12)
    image, found = read(data), probe(data)
    assert (image.pixels.dtype, image.channels, found.dtype) == (np.uint16, 1, "uint16")
    np.testing.assert_allclose(image.pixels[:, :, 0], slope, atol=8)
    colour = np.dstack([slope, slope[::-1], slope[:, ::-1]])
    image = read(imagecodecs.jpeg8_encode(colour, level=100, bitspersample=12, subsampling=subsampling))
    np.testing.assert_allclose(image.pixels, colour, atol=40 if subsampling == "444" else 400)
    with pytest.raises(DamagedImage):
        read(data[: len(data) * 3 // 4] + EOI)


@pytest.mark.parametrize("shape", [(48, 40), (48, 40, 3)])
def test_lossless_is_lossless(shape: tuple[int, ...]) -> None:
    pixels = noise(*shape)
    data = imagecodecs.jpeg8_encode(pixels, lossless=True)
    np.testing.assert_array_equal(read(data).pixels.squeeze(), pixels)
    for length in range(len(data) // 2, len(data) - 3, 71):
        with pytest.raises(DamagedImage):
            read(data[:length] + EOI)


def sampled(factors: list[tuple[int, int]]) -> bytes:
    """A flat JPEG of 64 x 64 pixels whose components are sampled so many times across and down."""
    across, down = (max(each) for each in zip(*factors))
    units = -(-64 // (8 * across)) * -(-64 // (8 * down))
    header = bytearray(frame(64, 64, components=len(factors)))
    header[11::3] = bytes(x << 4 | y for x, y in factors)
    blocks = units * sum(x * y for x, y in factors)
    return SOI + QUANTISATION + CODES + bytes(header) + scan(zeros(2 * blocks), components=len(factors)) + EOI


@pytest.mark.parametrize("chroma", [(1, 1), (1, 2), (2, 1), (2, 2)])
@pytest.mark.parametrize("luma", [(1, 1), (1, 2), (2, 1), (2, 2), (4, 1), (1, 4), (3, 1), (4, 2), (2, 4)])
@pytest.mark.parametrize("black", [[], [(1, 1)], [(2, 2)]], ids=str)
def test_any_sampling_that_pillow_decodes_is_decoded(
    luma: tuple[int, int], chroma: tuple[int, int], black: list[tuple[int, int]]
) -> None:
    data = sampled([luma, chroma, (1, 1), *black])
    try:
        with PIL.Image.open(io.BytesIO(data)) as opened:
            expected = np.asarray(opened.convert("RGB"))
    except OSError:
        with pytest.raises(DamagedImage):
            read(data)
    else:
        np.testing.assert_array_equal(read(data).pixels, expected)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (grey(8, 8).replace(frame(8, 8), frame(8, 8, bits=16)), "16 bits"),
        (grey(8, 8).replace(frame(8, 8), frame(8, 8, bits=12, kind=0xC3)), "12 bits"),
        (SOI + QUANTISATION + CODES + frame(8, 8, components=2) + scan(b"\0", components=2) + EOI, "2 components"),
        (grey(8, 8).replace(frame(8, 8), frame(8, 8, kind=0xC9)), "SOF9"),
        (grey(8, 8).replace(frame(8, 8), frame(8, 8, kind=0xC5)), "SOF5"),
    ],
)
def test_other_kinds_are_not_supported(data: bytes, says: str) -> None:
    with pytest.raises(UnsupportedImage, match=says):
        read(data)


@pytest.mark.slow
def test_real_jpegs_have_pillows_pixels() -> None:
    paths = [path for path in sorted(real_data("").rglob("*.jp*g")) if path.stem != "truncated"]
    for path in paths[::4]:
        data = path.read_bytes()
        if probe(data).dtype == "uint8":
            with PIL.Image.open(path) as opened:
                np.testing.assert_array_equal(
                    decode(data, max_pixels=10**8).pixels.squeeze(),
                    np.asarray(PIL.ImageOps.exif_transpose(opened)),
                    path.name,
                )


def test_too_many_pixels_are_refused_before_they_are_decoded() -> None:
    data = pillow(noise(40, 50), "JPEG")
    header_only = data[: data.index(b"\xff\xda") + 20]  # up to the start of the scan
    with pytest.raises(TooManyPixels, match="50 x 40"):
        decode(header_only, max_pixels=1999)
    with pytest.raises(DamagedImage):
        decode(header_only, max_pixels=2000)
