import zlib

import numpy as np
import PIL.Image
import pytest

from models.decode import decode
from models.errors import DamagedImage, TooManyPixels
from models.image import Array
from models.source import Image
from tests.models.decode.crafted_png import chunk, header
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


ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def interlaced(pixels: Array) -> bytes:
    """The seven passes of Adam7, each row with the number of its filter (none) in front."""
    height, width = pixels.shape[:2]
    passes = (pixels[y::dy, x::dx] for x, y, dx, dy in ADAM7)
    rows = b"".join(b"\0" + row.tobytes() for part in passes if part.size for row in part)
    start = header(width, height, colour=2 if pixels.ndim == 3 else 0, interlaced=True)
    return start + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND")


@pytest.mark.parametrize("shape", [(9, 11), (100, 120), (101, 67, 3), (1, 5000), (5000, 1)], ids=str)
def test_an_interlaced_image_is_put_together(shape: tuple[int, ...]) -> None:
    pixels = noise(*shape)
    np.testing.assert_array_equal(read(interlaced(pixels)).pixels.reshape(shape), pixels)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_rows_of_a_few_bits_end_with_a_byte(bits: int) -> None:
    """1003 pixels are 126, 251 and 502 bytes, of which some bits are left over."""
    rows = noise(101, -(-1003 * bits // 8))
    stream = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    data = header(1003, 101, bits=bits) + chunk(b"IDAT", stream) + chunk(b"IEND")
    unpacked = np.unpackbits(rows, axis=1).reshape(101, -1, bits)[:, :1003] @ (1 << np.arange(bits)[::-1])
    np.testing.assert_array_equal(read(data).pixels[:, :, 0], unpacked * (255 // (2**bits - 1)))


LARGE = noise(128, 128)  # above the size up to which libpng inflates it
STREAM = zlib.compress(b"".join(b"\0" + row.tobytes() for row in LARGE))


def with_stream(stream: bytes, *before: bytes) -> bytes:
    return header(128, 128) + b"".join(before) + chunk(b"IDAT", stream) + chunk(b"IEND")


@pytest.mark.parametrize(
    "data",
    [
        with_stream(STREAM, chunk(b"tEXt", b"k\0" + b"x" * 9000), chunk(b"zTXt", b"no text at all")),
        with_stream(zlib.compress(zlib.decompress(STREAM) + bytes(4096))),  # some encoders pad
        with_stream(STREAM + b"more"),
        header(128, 128) + chunk(b"IDAT", STREAM[:99]) + chunk(b"IDAT") + chunk(b"IDAT", STREAM[99:]),
    ],
    ids=["texts", "padding", "bytes behind the stream", "three chunks, without an end"],
)
def test_what_is_beside_the_pixels_changes_nothing(data: bytes) -> None:
    np.testing.assert_array_equal(read(data).pixels[:, :, 0], LARGE)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (with_stream(zlib.compress(zlib.decompress(STREAM) + bytes(4097))), "do not inflate to the 16,512 bytes"),
        (with_stream(STREAM[:-4] + b"junk"), "do not inflate"),  # Adler's checksum
        (with_stream(STREAM)[:-20] + b"junkjunk" + with_stream(STREAM)[-12:], "CRC error"),
        (header(128, 128) + chunk(b"tEXt", bytes(5000)) + chunk(b"IEND"), "do not inflate"),
        (with_stream(STREAM, chunk(b"ABCD")), "a chunk that the standard does not know"),
        (with_stream(STREAM, b"\0\0\0\0tEXtjunk"), "CRC error"),
        (with_stream(zlib.compress(zlib.decompress(STREAM)[:-1])), "cannot be decoded"),
    ],
    ids=["goes on", "Adler", "CRC", "no pixels", "a chunk to be understood", "CRC of a text", "a byte too few"],
)
def test_a_stream_that_is_not_the_images_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(DamagedImage, match=says):
        read(data)
