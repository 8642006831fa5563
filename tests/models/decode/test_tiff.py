import struct

import numpy as np
import PIL.Image
import pytest

from models.decode import decode
from models.errors import DamagedImage, ImageError, TooManyPixels, UnsupportedImage
from models.image import Array
from models.source import Image
from tests.models.decode.files import STORED, UPRIGHT, noise, pillow, tiff


def read(data: bytes) -> Image:
    return decode(data, max_pixels=1_000_000)


@pytest.mark.parametrize("shape", [(9, 11), (9, 11, 3)], ids=["grey", "colour"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.uint32, np.float16, np.float32, np.float64])
def test_pixels_keep_their_depth(dtype: type, shape: tuple[int, ...]) -> None:
    pixels = noise(*shape, dtype=dtype)
    photometric = "rgb" if len(shape) == 3 else "minisblack"
    image = read(tiff(pixels, photometric=photometric))
    assert (image.pixels.dtype, image.format) == (dtype, "tiff")
    np.testing.assert_array_equal(image.pixels, pixels.reshape(9, 11, -1))


@pytest.mark.parametrize(
    "options",
    [
        {"byteorder": ">"},
        {"bigtiff": True},
        {"compression": "lzw", "rowsperstrip": 2},
        {"compression": "zlib", "predictor": True},
        {"compression": "zstd"},
        {"compression": "lzma"},
        {"compression": "packbits"},
        {"tile": (16, 16)},
    ],
    ids=str,
)
def test_how_it_is_stored_does_not_matter(options: dict[str, object]) -> None:
    pixels = noise(20, 40, dtype=np.uint16)
    np.testing.assert_array_equal(read(tiff(pixels, **options)).pixels[:, :, 0], pixels)


COLOUR = noise(9, 11, 3)
PLANES = np.ascontiguousarray(COLOUR.transpose(2, 0, 1))  # (3, 9, 11)


@pytest.mark.parametrize(
    "data",
    [
        tiff(COLOUR),
        tiff(np.dstack([COLOUR, noise(9, 11)])),  # RGBA
        tiff(PLANES, photometric="rgb", planarconfig="separate"),
        tiff(PLANES, photometric="minisblack", metadata={"axes": "CYX"}),
        tiff(PLANES, imagej=True, metadata={"axes": "CYX"}),
        tiff(PLANES, ome=True, metadata={"axes": "CYX"}),
        tiff(COLOUR, ome=True, metadata={"axes": "YXS"}),
    ],
    ids=["RGB", "RGBA", "separate planes", "CYX", "ImageJ CYX", "OME CYX", "OME YXS"],
)
def test_three_channels_are_colour_however_they_are_laid_out(data: bytes) -> None:
    np.testing.assert_array_equal(read(data).pixels, COLOUR)


def test_jpeg_inside_is_read() -> None:
    grey = np.full((16, 16, 3), 77, np.uint8)
    np.testing.assert_allclose(read(tiff(grey, compression="jpeg")).pixels, grey, atol=1)
    np.testing.assert_allclose(read(pillow(grey, "TIFF", compression="jpeg")).pixels, grey, atol=1)  # YCbCr


WHITE_IS_ZERO = np.array([[0, 1], [254, 255]], np.uint8)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (tiff(WHITE_IS_ZERO, photometric="miniswhite"), [[255, 254], [1, 0]]),
        (tiff(WHITE_IS_ZERO.astype(np.uint16), photometric="miniswhite"), [[65535, 65534], [65281, 65280]]),
        (tiff(WHITE_IS_ZERO > 9, photometric="minisblack"), [[0, 0], [255, 255]]),
        (tiff(WHITE_IS_ZERO > 9, photometric="miniswhite"), [[255, 255], [0, 0]]),
        (pillow(PIL.Image.fromarray(WHITE_IS_ZERO > 9), "TIFF", compression="group4"), [[0, 0], [255, 255]]),
    ],
    ids=["8 bits", "16 bits", "1 bit", "1 bit white is zero", "fax"],
)
def test_more_is_brighter(data: bytes, expected: list[list[int]]) -> None:
    np.testing.assert_array_equal(read(data).pixels[:, :, 0], expected)


def test_a_palette_is_looked_up_in_its_16_bits() -> None:
    colours = noise(3, 256, dtype=np.uint16)
    indices = noise(9, 11)
    image = read(tiff(indices, photometric="palette", colormap=colours))
    assert image.pixels.dtype == np.uint16
    np.testing.assert_array_equal(image.pixels, colours[:, indices].transpose(1, 2, 0))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_its_orientation_turns_it_upright(orientation: int) -> None:
    data = tiff(STORED, extratags=[(274, "H", 1, orientation, True)])
    np.testing.assert_array_equal(read(data).pixels[:, :, 0], np.array(UPRIGHT[orientation]) * 40)


STACK = noise(5, 9, 11)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (tiff(STACK), "images of one size"),
        (tiff(STACK[:3], photometric="minisblack"), "3 or more images"),
        (tiff(STACK, imagej=True, metadata={"axes": "ZYX"}), "Z = 5"),
        (tiff(STACK[:3], imagej=True, metadata={"axes": "TYX"}), "T = 3"),
        (tiff(STACK, ome=True, metadata={"axes": "CYX"}), "C = 5"),
        (tiff(STACK[:2], ome=True, metadata={"axes": "CYX"}), "C = 2"),
        (tiff(STACK[:3], ome=True, metadata={"axes": "ZYX"}), "Z = 3"),
        (tiff(noise(9, 11, 5), photometric="minisblack", planarconfig="contig"), "S = 5"),
        (tiff(noise(9, 11, 4), photometric="separated"), "SEPARATED"),  # CMYK
        (tiff(noise(9, 11).astype(np.complex64)), "complex64"),
        (tiff(noise(16, 16), compression="jpeg2000"), "JPEG2000"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_grey_or_colour_plane_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(UnsupportedImage, match=says):
        read(data)


def test_a_thumbnail_behind_the_image_is_left_alone(tmp_path: object) -> None:
    full, small = PIL.Image.fromarray(noise(40, 40)), PIL.Image.fromarray(noise(10, 10))
    data = pillow(full, "TIFF", save_all=True, append_images=[small])
    np.testing.assert_array_equal(read(data).pixels[:, :, 0], noise(40, 40))


def written(pixels: Array, *, tag: int, value: int, **options: object) -> bytes:
    """A TIFF of one page in which the tag's value is replaced (little-endian, one SHORT or LONG)."""
    data = bytearray(tiff(pixels, **options))
    offset = struct.unpack_from("<I", data, 4)[0]
    for entry in range(offset + 2, offset + 2 + 12 * struct.unpack_from("<H", data, offset)[0], 12):
        if struct.unpack_from("<H", data, entry)[0] == tag:
            struct.pack_into("<HII", data, entry + 2, 4, 1, value)
    return bytes(data)


WIDTH, TILE_WIDTH, TILE_LENGTH = 256, 322, 323


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (written(noise(9, 11), tag=WIDTH, value=200_000), TooManyPixels),
        (written(noise(9, 11), tag=WIDTH, value=0), DamagedImage),
        (written(noise(16, 16), tag=TILE_WIDTH, value=2**20, tile=(16, 16)), TooManyPixels),
        (written(noise(16, 16), tag=TILE_LENGTH, value=1, tile=(16, 16)), DamagedImage),
        (written(np.full((64, 64, 3), 9, np.uint8), tag=WIDTH, value=8, compression="jpeg"), DamagedImage),
    ],
    ids=["a false width", "no width", "a vast tile", "tiny tiles", "a JPEG larger than its strip"],
)
def test_false_sizes_are_refused_before_pixels_are_decoded(data: bytes, error: type[ImageError]) -> None:
    with pytest.raises(error):
        read(data)


def test_pages_that_go_in_a_circle_end() -> None:
    data = bytearray(tiff(noise(9, 11)))
    first = struct.unpack_from("<I", data, 4)[0]
    next_page = first + 2 + 12 * struct.unpack_from("<H", data, first)[0]
    struct.pack_into("<I", data, next_page, first)
    with pytest.raises(UnsupportedImage):
        read(bytes(data))
