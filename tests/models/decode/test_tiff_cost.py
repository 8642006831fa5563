"""Tests of what decoding a TIFF costs: honest layouts are taken, and what costs far more than its pixels is not."""

from typing import Any

import numpy as np
import pytest

from models.decode import check, decode, probe
from models.errors import DamagedImage, TooCostly, TooManyPixels, UnsupportedImage
from tests.data import real_data
from tests.models.decode.files import soft, tiff
from tests.models.decode.handmade_tiff import (
    COUNTS,
    DEFLATE,
    LZW,
    OFFSETS,
    PACKBITS,
    ROWS,
    TILE_COUNTS,
    TILE_LENGTH,
    TILE_OFFSETS,
    TILE_WIDTH,
    Tag,
    grey,
    handmade,
    values,
)

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
RARE = {"fuzz_images"}  # made to harm


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((1000, 300), {"compression": "lzw", "rowsperstrip": 1}),
        ((1000, 512), {"compression": "zlib", "rowsperstrip": 1}),
        ((2000, 128), {"compression": "packbits", "rowsperstrip": 1}),  # a line scan
        ((20_000, 60), {"rowsperstrip": 1}),  # one behind the other
        ((24, 18), {"compression": "zlib", "rowsperstrip": 1}),
        ((9, 11), {"tile": (1024, 1024), "compression": "zlib"}),
        ((40, 500), {"tile": (16, 16), "compression": "zstd"}),
        ((300, 300, 3), {"tile": (16, 16), "compression": "lzma", "photometric": "rgb"}),
        ((3, 300, 300), {"planarconfig": "separate", "photometric": "rgb", "rowsperstrip": 1, "compression": "lzw"}),
        ((1200, 1200), {"compression": "zstd"}),  # in 11 blocks
    ],
    ids=str,
)
def test_honest_layouts_are_taken(shape: tuple[int, ...], options: dict[str, Any]) -> None:
    pixels = soft(*shape)
    expected = np.moveaxis(pixels, 0, 2) if shape[0] == 3 else pixels.reshape(*shape[:2], -1)
    np.testing.assert_array_equal(decode(tiff(pixels, **options), max_pixels=2_000_000).pixels, expected)


def test_noise_may_grow_when_it_is_compressed() -> None:
    noisy = np.random.default_rng(0).integers(0, 256, (256, 256), np.uint8)
    for compression in ("lzw", "packbits", "zlib", "zstd", "lzma"):
        np.testing.assert_array_equal(
            decode(tiff(noisy, compression=compression), max_pixels=70_000).pixels[:, :, 0], noisy
        )


def test_the_cost_is_pixels_and_segments() -> None:
    assert probe(tiff(soft(64, 64))).cost is None  # in one piece
    assert probe(tiff(soft(64, 64), rowsperstrip=8)).cost is None  # in eight, one behind the other
    cost = probe(tiff(soft(64, 64), rowsperstrip=8, compression="zlib")).cost
    assert cost == (64 * 64 + 8 * 4096, "8 strips for 4,096 pixels")
    planes = tiff(soft(3, 64, 64), ome=True, metadata={"axes": "CYX"}, compression="zlib", tile=(32, 32))
    assert probe(planes).cost == (3 * (64 * 64 + 4 * 4096), "4 tiles for 4,096 pixels")


def strips(count: int, width: int, *lengths: int, compression: int = LZW) -> bytes:
    places = (values(OFFSETS, *[8] * count), values(COUNTS, *(lengths or [1] * count)), values(ROWS, 1))
    return handmade(grey(width, count, *places, compression=compression), bytes(4096))


def tiled(width: int, length: int, side: int, *more: Tag) -> bytes:
    count = -(-width // side) * -(-length // side)
    size = (values(TILE_WIDTH, side), values(TILE_LENGTH, side))
    places = (values(TILE_OFFSETS, *[8] * count), values(TILE_COUNTS, *[1] * count))
    return handmade(grey(width, length, *size, *places, *more, compression=DEFLATE), bytes(4096))


@pytest.mark.parametrize(
    ("taken", "refused", "says"),
    [
        (strips(2_000, 100), strips(4_000, 50), "4,000 strips for 200,000 pixels"),
        (strips(8_000, 256), strips(8_000, 128), "8,000 strips for 1,024,000 pixels"),
        (
            strips(4, 999, *[2_000] * 4),
            strips(4, 999, *[2_500] * 4),
            "4 strips that point at 10,000 bytes of a file of",
        ),
        (tiled(500, 500, 16), tiled(500, 500, 8), "3,969 tiles for 250,000 pixels"),
        (tiled(16, 16, 4096), tiled(16, 16, 4112), "1 tile of 4112 x 4112 for 16 x 16 pixels"),
        (tiled(1, 10_000, 1024), tiled(1, 40_000, 1024), "40 tiles of 1024 x 1024 for 1 x 40000 pixels"),
    ],
    ids=["narrow strips", "many strips", "overlapping strips", "tiny tiles", "a vast tile", "tiles beside the image"],
)
def test_more_than_its_pixels_can_need_is_refused(taken: bytes, refused: bytes, says: str) -> None:
    assert probe(taken).cost
    with pytest.raises(TooCostly, match=says):
        probe(refused)


def test_compressed_bytes_are_at_most_twice_what_they_become() -> None:
    def packed(length: int) -> bytes:
        places = (values(OFFSETS, 8), values(COUNTS, length), values(ROWS, 64))
        return handmade(grey(64, 64, *places, compression=PACKBITS), bytes(length))

    assert probe(packed(2 * 4096 + 4096 + 2**16)).cost
    with pytest.raises(TooCostly, match="1 strip that points at 77,825 bytes of a file of"):
        probe(packed(2 * 4096 + 4096 + 2**16 + 1))


def test_a_length_that_leads_out_of_the_file_counts_to_its_end() -> None:
    assert probe(strips(2, 60, 2_000_000_000, 10)).cost


@pytest.mark.slow
def test_no_real_tiff_is_too_costly() -> None:
    files = [path for path in real_data("README.md").parent.rglob("*") if path.is_file() and not RARE & {*path.parts}]
    tiffs = [path for path in files if path.read_bytes()[:4] in MAGIC]
    assert len(tiffs) > 400
    for path in tiffs:
        try:
            check(probe(path.read_bytes()), max_pixels=50_000_000)
        except (DamagedImage, UnsupportedImage, TooManyPixels):  # there are such among them
            continue
