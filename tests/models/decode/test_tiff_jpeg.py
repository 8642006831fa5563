"""Tests of JPEGs in a TIFF: their tables are shared, each is checked like a JPEG file, and their scans count."""

import struct
from io import BytesIO

import numpy as np
import pytest
import tifffile

from models.decode import decode, probe, recognised
from models.decode.tiff_jpeg import jpeg_cost, jpeg_damage
from models.errors import DamagedImage, TooCostly
from tests.models.decode.crafted_jpeg import progressive
from tests.models.decode.files import noise, pillow, tiff

PIXELS = noise(64, 96, 3)
TILED = tiff(PIXELS, compression="jpeg", tile=(32, 32))
STRIPS = pillow(PIXELS, "TIFF", compression="jpeg")  # libtiff puts the tables into a tag


def page_of(data: bytes) -> tifffile.TiffPage:
    return tifffile.TiffFile(BytesIO(data)).pages.first


def with_segment(data: bytes, index: int, content: bytes) -> bytes:
    """The TIFF with one segment overwritten, whose stated length stays."""
    page = page_of(data)
    start, length = page.dataoffsets[index], page.databytecounts[index]
    return data[:start] + content[:length].ljust(length, b"\0") + data[start + length :]


def segment_of(data: bytes, index: int) -> bytes:
    page = page_of(data)
    return data[page.dataoffsets[index] :][: page.databytecounts[index]]


@pytest.mark.parametrize("data", [TILED, STRIPS], ids=["tiles", "strips with tables in a tag"])
def test_sound_ones_have_a_cost_and_no_damage(data: bytes) -> None:
    cost, damage = jpeg_cost(page_of(data), data), jpeg_damage(page_of(data), data)
    assert (cost.pixel_passes, damage) == (64 * 96, None)
    assert decode(data, max_pixels=10_000).pixels.shape == (64, 96, 3)


@pytest.mark.parametrize("data", [TILED, STRIPS], ids=["tiles", "strips with tables in a tag"])
@pytest.mark.parametrize("share", [0.5, 0.7, 0.9, 0.98])
def test_a_segment_cut_short_is_damage_though_an_end_was_put_behind_it(data: bytes, share: float) -> None:
    whole = segment_of(data, -1)
    broken = with_segment(data, -1, whole[: int(len(whole) * share)] + b"\xff\xd9")
    with pytest.raises(DamagedImage, match="TIFF"):
        decode(broken, max_pixels=10_000)
    assert jpeg_damage(page_of(broken), broken)
    assert recognised(broken).open(broken, probe(broken)).damage


def test_bytes_overwritten_in_a_tile_are_found() -> None:
    random = np.random.default_rng(0)
    found = 0
    for _ in range(40):
        whole = bytearray(segment_of(TILED, 3))
        start = int(random.integers(len(whole) * 3 // 4, len(whole) - 64))
        whole[start : start + 64] = random.integers(0, 256, 64, np.uint8).tobytes()
        broken = with_segment(TILED, 3, bytes(whole))
        try:
            decode(broken, max_pixels=10_000)
        except DamagedImage:
            found += 1
    assert found >= 28


def with_tiles(content: bytes, side: int, *, count: int = 4) -> bytes:
    """A TIFF of tiles, each of which is this JPEG."""
    data = bytearray(tiff(noise(side * count, side), tile=(side, side), compression="jpeg"))
    page = page_of(bytes(data))
    place = len(data)
    data += content
    for tag, value in ((324, place), (325, len(content))):
        entry = page.tags[tag]
        struct.pack_into(f"<{count}{'I' if entry.dtype == 4 else 'H'}", data, entry.valueoffset, *[value] * count)
    return bytes(data)


def test_the_cost_is_scans_times_pixels_over_all_tiles() -> None:
    data = with_tiles(progressive(32, 32, 50), 32)
    assert probe(data).cost == (4 * 51 * 32 * 32, "204 scans of JPEG")
    with pytest.raises(TooCostly, match="204 scans"):
        decode(data, max_pixels=4 * 32 * 32)
    with pytest.raises(TooCostly, match="more than 100 scans"):
        probe(with_tiles(progressive(32, 32, 50, bits=3), 32))


def test_a_tile_that_was_left_out_is_no_damage() -> None:
    data = bytearray(TILED)
    counts = page_of(TILED).tags[325]
    struct.pack_into("<I" if counts.dtype == 4 else "<H", data, counts.valueoffset, 0)
    image = decode(bytes(data), max_pixels=10_000)
    assert not image.pixels[:32, :32].any()


def test_a_jpeg_larger_than_its_tile_is_refused() -> None:
    with pytest.raises(DamagedImage, match=r"a JPEG of 64 x 64 stands where 1,024 pixels belong"):
        probe(with_tiles(progressive(64, 64, 3), 32))
