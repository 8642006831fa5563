"""A crafted file is refused, or takes at most ten times what an honest one takes, of as many pixels or bytes.

It takes at most 80 bytes of memory for each pixel, and four times the file.

Honest is a picture that compresses as a microscope's does: as a PNG, and as a TIFF with Deflate in one strip. Times
are processor times of this thread, and the least of a few, so that a busy machine changes little.
"""

import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.decode import decode, probe
from models.errors import BadSignal, DamagedImage, ImageError, TooCostly, UnsupportedImage
from models.source import Image
from tests.models.decode.crafted import CRAFTED
from tests.models.decode.crafted_signal import HONEST, MOST, SIGNALS, opened
from tests.models.decode.files import noise, png, soft, tiff
from tests.models.decode.handmade_tiff import LZW, PACKBITS, a_strip_a_pixel, stuffed, tiles

RATIO = 10
LEAST_S = 0.005  # below which an honest time is too short to compare with
BYTES_A_PIXEL, BYTES_A_BYTE, SPARE_BYTES = 80, 4, 2**25
MAX_PIXELS = 50_000_000
DECODED = {
    "PNG with 20 zTXt bombs",
    "PNG with 20 iTXt bombs",
    "PNG with 20 iCCP bombs",
    "PNG with 500 suggested palettes",
    "PNG with a chunk of 8 MB before its pixels",
    "PNG with a chunk of 8 MB behind its pixels",
    "PNG with 100,000 frames (APNG)",
    "an XZ dictionary of 4 GiB",
    "1024 x 1024 behind twice as many LZW clear codes",
    "PNG with tables for each 16 pixels",
    "1024 x 1024 with tables for each 64 pixels",
    "a tile of 4096 x 4096 for 16 x 16",
    "8 MB of OME-XML that nearly says its size",
    "8 MB of OME-XML in tags that are none",
    "a million digits of a pixel's size",
    "a million digits of a stack's size",
    "two million lines of ImageJ",
    "a million digits in ImageJ",
    "a million digits of a value that stands for none",
    "a strip for each row of each colour",
}
REFUSED = {  # what a refusal says; of the others it is what decoding them says
    "PNG of one-byte IDAT chunks": "more than 9,5.. chunks in 2,19.,... bytes",
    "PNG of 1 x 1,000,000": "1,000,000 rows of 1 pixels",
    "2048 x 2048 whose tiles share 100 KB of empty Zstandard frames": "16,384 tiles that point at 1,638,236,160 bytes",
    "1 x 250,000, a strip a pixel": "250,000 strips for 250,000 pixels",
    "64 x 64 with 1 MB of LZW clear codes": "1 strip that points at 999,999 bytes",
    "Zstandard blocks of a few bytes each": "several streams in a strip or tile",
    "PNG with tables for each 8 pixels": "406,... bytes for 262,656 of pixels",
    "1024 x 1024 with tables for each 8 pixels": "1 strip that points at 1,622,... bytes",
    "65,535 tags": "65,535 tags in a page",
    "a million rationals in a tag": "1,000,000 values in tag 282",
    "pages that share a text": "tags with 5,000,250 bytes of text",
}
IN_ITS_CHUNKS = {
    "PNG of one-byte IDAT chunks",
    "PNG with tables for each 8 pixels",
}  # which a probe does not go through


def peak_bytes(call: Callable[[], object]) -> int:
    """Returns by how much the process grows meanwhile; 0 where the kernel does not tell."""
    try:
        Path("/proc/self/clear_refs").write_text("5")  # forgets the peak
    except OSError:
        return 0
    before = _resident("VmRSS")
    call()
    return max(0, _resident("VmHWM") - before)


def _resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))


def decoded(data: bytes) -> Image | ImageError:
    try:
        return decode(data, max_pixels=MAX_PIXELS)
    except ImageError as error:
        return error


def seconds(call: Callable[[], object]) -> float:
    times = []
    for _ in range(3):
        start = time.thread_time()
        call()
        times.append(time.thread_time() - start)
    return min(times)


@cache
def honest_seconds(format: bytes, side: int) -> tuple[float, int]:
    """Returns what an honest file of side x side takes, and how many bytes it has."""
    data = png(soft(side, side)) if format == b"\x89P" else tiff(soft(side, side), compression="zlib")
    return seconds(lambda: decode(data, max_pixels=MAX_PIXELS)), len(data)


def allowed_seconds(data: bytes, pixels: int) -> float:
    time_of_as_many_pixels, _ = honest_seconds(data[:2], max(8, int(pixels**0.5)))
    a_second, bytes_in_it = honest_seconds(data[:2], 1024)
    return RATIO * max(LEAST_S, time_of_as_many_pixels, a_second * len(data) / bytes_in_it)


@pytest.mark.parametrize("name", CRAFTED)
def test_no_crafted_file_takes_much_longer_than_an_honest_one(name: str) -> None:
    data = CRAFTED[name]()
    found = decoded(data)
    if isinstance(found, Image):
        assert name in DECODED
    else:
        assert name not in DECODED, found
        assert isinstance(found, TooCostly | DamagedImage | UnsupportedImage)
    pixels = found.width * found.height if isinstance(found, Image) else 0
    assert peak_bytes(lambda: decoded(data)) < BYTES_A_PIXEL * pixels + BYTES_A_BYTE * len(data) + SPARE_BYTES
    assert seconds(lambda: decoded(data)) < allowed_seconds(data, pixels)


@pytest.mark.parametrize(
    "options", [{"rowsperstrip": 1000}, {"rowsperstrip": 1000, "byteorder": ">"}, {"tile": (256, 256)}]
)
def test_the_largest_pixels_take_80_bytes_and_the_file_again(options: dict[str, Any]) -> None:
    pixels = noise(500, 500, 4, dtype=np.float64)
    data = tiff(pixels, compression="zlib", photometric="rgb", **options)
    assert peak_bytes(lambda: decoded(data)) < BYTES_A_PIXEL * 250_000 + 2 * len(data)


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_says_what_there_is_too_much_of(name: str) -> None:
    with pytest.raises(TooCostly, match=REFUSED[name]) as caught:
        decode(CRAFTED[name](), max_pixels=MAX_PIXELS) if name in IN_ITS_CHUNKS else probe(CRAFTED[name]())
    assert (caught.value.status, caught.value.code) == (413, "too_costly")


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [lambda: tiles(stuffed(PACKBITS, 8_000_000), PACKBITS), lambda: tiles(stuffed(LZW, 1_000_000), LZW, side=4096)],
)
def test_ten_times_as_much_takes_no_longer(make: Callable[[], bytes]) -> None:
    data = make()
    assert isinstance(decoded(data), TooCostly)
    assert seconds(lambda: decoded(data)) < allowed_seconds(data, 0)
    column = a_strip_a_pixel(2_500_000)
    assert isinstance(decoded(column), TooCostly)
    assert seconds(lambda: decoded(column)) < allowed_seconds(column, 0)


@pytest.mark.parametrize("name", SIGNALS)
def test_no_crafted_signal_takes_much_longer_than_an_honest_one(name: str) -> None:
    data = SIGNALS[name]()
    assert len(data) <= MOST

    def refused() -> None:
        with pytest.raises(ImageError):
            opened(data)

    refused()
    assert seconds(refused) < RATIO * max(LEAST_S, seconds(lambda: opened(HONEST)))


def test_the_longest_sequence_is_refused_by_its_length() -> None:
    with pytest.raises(BadSignal, match=r"256,\d\d\d letters; this model takes 1,000"):
        opened(SIGNALS["letters"]())
