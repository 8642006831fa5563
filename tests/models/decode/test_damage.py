"""Whatever is done to a file, decoding it gives an image or an ImageError, and nothing else."""

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.decode import decode
from models.errors import DamagedImage, ImageError, NotAnImage
from models.source import Image
from tests.models.decode.files import FILES, noise, tiff


def decode_or_refuse(data: bytes) -> Image | None:
    try:
        return decode(data, max_pixels=1_000_000)
    except ImageError:
        return None


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_short_is_refused_or_still_whole(name: str) -> None:
    data = FILES[name]
    whole = decode(data, max_pixels=1_000_000)
    for length in range(len(data)):
        image = decode_or_refuse(data[:length])
        # What may be missing stands behind the pixels: PNG's IEND, TIFF's padding.
        assert image is None or np.array_equal(image.pixels, whole.pixels)


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=12))
def test_changed_bytes_never_raise_anything_else(name: str, edits: list[tuple[float, int]]) -> None:
    data = bytearray(FILES[name])
    for position, value in edits:
        data[int(position**2 * len(data))] = value  # more often in the headers
    image = decode_or_refuse(bytes(data))
    assert image is None or (image.pixels.ndim == 3 and image.channels in (1, 3) and image.pixels.size)


@pytest.mark.parametrize(
    ("data", "says"),
    [(b"", "is empty"), (b"GIF89a..", "47 49 46 38 39 61"), (b"http://x", "68 74"), (b"\x89PN", "89 50 4e")],
)
def test_what_is_no_image_is_named_by_its_first_bytes(data: bytes, says: str) -> None:
    with pytest.raises(NotAnImage, match=says):
        decode(data, max_pixels=1_000_000)


@pytest.mark.parametrize("name", ["grey png", "grey jpeg", "16-bit tiff"])
def test_half_a_file_is_damaged(name: str) -> None:
    with pytest.raises(DamagedImage, match="damaged or cut short"):
        decode(FILES[name][: len(FILES[name]) // 2], max_pixels=1_000_000)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


GREY = FILES["grey png"]
ROWS = bytes([0, *range(11)]) * 9  # each behind the number of its filter
STREAM = zlib.compress(ROWS)


def png_of(stream: bytes, *, before: bytes = b"") -> bytes:
    return GREY[:33] + before + chunk(b"IDAT", stream) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "data",
    [
        png_of(STREAM).replace(STREAM[-4:], b"\0\0\0\0"),  # the chunk's CRC
        png_of(STREAM[:-4] + b"\0\0\0\0"),  # the stream's Adler checksum
        png_of(STREAM[:-4]),
        png_of(STREAM[:-5]),
        png_of(zlib.compress(ROWS[:-1])),
        png_of(zlib.compress(b"\7" + ROWS[1:])),  # a filter that there is not
        GREY[:29] + b"\0\0\0\0" + GREY[33:],  # the header's CRC
        png_of(STREAM, before=chunk(b"pHYs", bytes(9))[:-1] + b"\0"),
        png_of(STREAM, before=chunk(b"gAMA", bytes(4))[:-1] + b"\0"),
    ],
)
def test_every_checksum_of_a_png_is_checked(data: bytes) -> None:
    assert decode(png_of(STREAM), max_pixels=1000).pixels[8, :, 0].tolist() == list(range(11))
    with pytest.raises(DamagedImage, match="PNG"):
        decode(data, max_pixels=1000)


STRIP_OFFSETS, STRIP_COUNTS, TILE_OFFSETS, TILE_COUNTS = 273, 279, 324, 325


@pytest.mark.parametrize("options", [{"tile": (16, 16)}, {"rowsperstrip": 8}], ids=str)
@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "jpeg"])
@pytest.mark.parametrize("what", ["fewer offsets", "fewer counts", "beyond its end", "cut short"])
def test_a_tiff_whose_strips_or_tiles_are_missing_is_damaged(
    options: dict[str, object], compression: str | None, what: str
) -> None:
    data = bytearray(tiff(noise(64, 64, 3), compression=compression, **options))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tags = file.pages.first.tags
        offsets, counts = (
            (tags[STRIP_OFFSETS], tags[STRIP_COUNTS])
            if STRIP_OFFSETS in tags
            else (
                tags[TILE_OFFSETS],
                tags[TILE_COUNTS],
            )
        )
        fewer = {"fewer offsets": offsets, "fewer counts": counts}.get(what)
        last = offsets.valueoffset + offsets.valuebytecount - 4
    if fewer:
        struct.pack_into("<I", data, fewer.offset + 4, fewer.count - 2)
    elif what == "beyond its end":
        struct.pack_into("<I", data, last, len(data) + 4096)
    else:
        del data[-64:]
    with pytest.raises(DamagedImage, match="TIFF"):
        decode(bytes(data), max_pixels=10_000)
