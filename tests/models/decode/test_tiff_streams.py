"""Tests of the streams in a TIFF: one of few blocks is taken, several streams and many blocks are not."""

import lzma

import imagecodecs
import numpy as np
import pytest

from models.decode import decode
from models.errors import DamagedImage, TooCostly
from models.image import Array
from tests.models.decode.files import noise, soft
from tests.models.decode.handmade_tiff import LZMA, XZ, ZSTD, strip

SIDE = 512
PIXELS = {"soft": soft(SIDE, SIDE), "noise": noise(SIDE, SIDE), "blank": np.zeros((SIDE, SIDE), np.uint8)}


def xz(pixels: Array, check: int = lzma.CHECK_CRC32, *, delta: bool = False) -> bytes:
    filters = [{"id": lzma.FILTER_DELTA, "dist": 1}] * delta + [{"id": lzma.FILTER_LZMA2, "preset": 1}]
    return lzma.compress(pixels.tobytes(), check=check, filters=filters)


def zstd(pixels: Array, level: int = 3) -> bytes:
    return bytes(imagecodecs.zstd_encode(pixels.tobytes(), level))


@pytest.mark.parametrize("name", PIXELS)
@pytest.mark.parametrize(
    ("compression", "stream"),
    [
        (ZSTD, zstd),
        (ZSTD, lambda pixels: zstd(pixels, 19)),
        (LZMA, xz),
        (LZMA, lambda pixels: xz(pixels, lzma.CHECK_NONE)),
        (LZMA, lambda pixels: xz(pixels, lzma.CHECK_SHA256)),
        (LZMA, lambda pixels: xz(pixels, lzma.CHECK_CRC64, delta=True)),
    ],
    ids=["Zstandard", "slow Zstandard", "XZ", "XZ without checksum", "XZ with SHA-256", "XZ of differences (libtiff)"],
)
def test_one_stream_is_decoded(name: str, compression: int, stream: object) -> None:
    data = strip(stream(PIXELS[name]), compression, side=SIDE)  # type: ignore[operator]
    np.testing.assert_array_equal(decode(data, max_pixels=SIDE**2).pixels[:, :, 0], PIXELS[name])


def many_zstd_blocks(number: int) -> bytes:
    """A frame of one segment of 1 MB, in blocks of one byte."""
    block = (1 << 3).to_bytes(3, "little") + b"7"
    return b"\x28\xb5\x2f\xfd\xa0" + (2**20).to_bytes(4, "little") + block * number


def many_xz_chunks(number: int) -> bytes:
    """A stream whose one block consists of chunks of one byte, which LZMA2 calls uncompressed."""
    end = 12 + 4 * (XZ[12] + 1)
    return XZ[:end] + b"\1\0\0a" + b"\2\0\0a" * number


@pytest.mark.parametrize(
    ("compression", "stream", "says"),
    [
        (ZSTD, zstd(soft(SIDE, SIDE // 2)) * 2, "several streams in a strip or tile"),
        (ZSTD, many_zstd_blocks(100), "more than 68 blocks"),
        (LZMA, xz(soft(SIDE, SIDE // 2)) * 2, "several streams in a strip or tile"),
        (LZMA, many_xz_chunks(100), "more than 68 blocks"),
    ],
)
def test_what_costs_more_than_its_bytes_is_refused(compression: int, stream: bytes, says: str) -> None:
    with pytest.raises(TooCostly, match=says):
        decode(strip(stream, compression, side=SIDE), max_pixels=SIDE**2)


@pytest.mark.parametrize(
    "data",
    [
        strip(lzma.compress(bytes(4096), format=lzma.FORMAT_ALONE), LZMA),
        strip(b"\xfd7zXZ\0", LZMA),
        strip(b"\x28\xb5\x2f\xfd", ZSTD),
    ],
    ids=["the older LZMA", "XZ cut short", "Zstandard cut short"],
)
def test_streams_of_another_kind_are_damaged(data: bytes) -> None:
    with pytest.raises(DamagedImage):
        decode(data, max_pixels=4096)


def test_a_strip_that_is_left_out_is_black() -> None:
    assert not decode(strip(b"", ZSTD), max_pixels=4096).pixels.any()
