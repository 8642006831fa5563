"""Tests of the EXIF orientation: the tag's number, or upright, in bounded time whatever the block holds."""

import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL.Image import Exif

from models.decode.exif import orientation_of, xmp_orientation
from tests.models.decode.files import ORIENTATION

SHORT, LONG = 3, 4


def block(tag: int = ORIENTATION, kind: int = SHORT, count: int = 1, value: int = 6, *, before: int = 0) -> bytes:
    """An EXIF block of one entry of interest, behind so many others."""
    entries = struct.pack("<HHII", 305, SHORT, 1, 0) * before + struct.pack("<HHII", tag, kind, count, value)
    return b"II*\0" + struct.pack("<IH", 8, before + 1) + entries


def pillows(tags: dict[int, object]) -> bytes:
    exif = Exif()
    exif.update(tags)
    return exif.tobytes()


@pytest.mark.parametrize(
    ("exif", "orientation"),
    [
        (b"", 1),
        (pillows({}), 1),
        (pillows({ORIENTATION: 1}), 1),
        (pillows({ORIENTATION: 6}), 6),
        (pillows({ORIENTATION: 8, 305: "a scanner"}), 8),
        (pillows({305: "6"}), 1),  # another tag
        (b"MM\0*" + struct.pack(">IHHHIHH", 8, 1, ORIENTATION, SHORT, 1, 5, 0), 5),
        (b"Exif\0\0" + block(), 6),
        (block(kind=LONG), 6),
        (block(kind=2), 1),  # text
        (block(kind=12), 1),  # a float
        (block(kind=99), 1),
        (block(count=2), 1),
        (block(value=0), 1),
        (block(value=9), 1),
        (block(before=900), 6),
        (block(before=5000), 1),  # nobody writes so many
        (block()[:-5], 1),  # cut short
        (b"II*\0" + struct.pack("<I", 2**32 - 1), 1),  # a directory that is elsewhere
        (b"II+\0" + block()[4:], 1),
    ],
)
def test_an_orientation_is_the_tags_number_or_upright(exif: bytes, orientation: int) -> None:
    assert orientation_of(exif) == orientation


@given(st.binary(max_size=64), st.sampled_from([b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b""]))
def test_any_bytes_are_an_orientation(tail: bytes, head: bytes) -> None:
    assert 1 <= orientation_of(head + tail) <= 8


def test_a_block_of_many_entries_is_given_up() -> None:
    start = time.process_time()
    assert orientation_of(block(before=65_000)) == 1
    assert time.process_time() - start < 0.1


@pytest.mark.parametrize(
    ("xmp", "orientation"),
    [(b"", 1), (b'<a tiff:Orientation="6"/>', 6), (b"<tiff:Orientation>3<", 3), (b'tiff:Orientation="9"', 1)],
)
def test_an_orientation_may_stand_in_xmp(xmp: bytes, orientation: int) -> None:
    assert xmp_orientation(xmp) == orientation
