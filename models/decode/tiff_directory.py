"""Directories of a TIFF's first pages: how many tags and values each lists, without reading a value.

tifffile makes Python objects of what it reads. So what it would read is counted first, from the bytes.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

import tifffile

from models.errors import DamagedImage, TooCostly, UnsupportedImage

TEXT = {1, 2, 7}  # the types BYTE, ASCII, UNDEFINED, which are read in one piece
SEGMENTS = {273, 279, 324, 325}  # offsets and byte counts of strips and tiles
COLOUR_MAP, IMAGEJ_LENGTHS, STK, STK_PLANES = 320, 50838, 33628, 33629
READ = tifffile.TIFF.TAG_LOAD | set(tifffile.TIFF.TAG_ATTRIBUTES) | {255, 274, 292, 296, COLOUR_MAP, STK_PLANES, 65426}
BYTES = {kind: struct.calcsize(format) for kind, format in tifffile.TIFF.DATA_FORMATS.items()}
MAX_TAGS = 512  # a page; cameras and slide scanners write about 100
MAX_VALUES = 1024  # a tag
MAX_SEGMENTS = 2**18  # a page; each takes 8 bytes, an offset and a length
COUNTS = {COLOUR_MAP: 3 * 2**16, IMAGEJ_LENGTHS: 2**16, STK: 256}
_PIXELS_A_VALUE = 8  # that reading a number takes as long as
_SPARE = 2**20  # bytes of values that any file may list


class Tag(NamedTuple):
    """An entry of a directory. bytes: that its values take."""

    code: int
    type: int
    values: int
    size: int


def check_directories(data: bytes, *, most: int) -> int:
    """Returns how many pages the file has, counted to `most`. Raises TooCostly, DamagedImage, UnsupportedImage."""
    pages = list(_pages(data, most))
    read = [tag for tags in pages for tag in tags if tag.size <= len(data)]  # the others are left out
    for tag in read:
        if tag.values > 1 and (tag.type not in TEXT or tag.code == STK_PLANES):
            _check_values(tag, len(data))
    text = sum(tag.size for tag in read if tag.type in TEXT)
    numbers = sum(_PIXELS_A_VALUE * tag.values for tag in read if tag.type not in TEXT)
    if text + numbers > 2 * len(data) + _SPARE:
        what = f"tags with {text:,} bytes of text and {numbers // _PIXELS_A_VALUE:,} numbers in {len(data):,} bytes"
        raise TooCostly(what, pixel_passes=text + numbers, limit=2 * len(data) + _SPARE)
    return len(pages)


def _check_values(tag: Tag, file_bytes: int) -> None:
    if tag.code == STK_PLANES:
        raise UnsupportedImage(f"The TIFF holds {tag.values:,} planes (STK); this service takes one.")
    most = COUNTS.get(tag.code, MAX_VALUES)
    if tag.code in SEGMENTS:
        most = min(max(4096, file_bytes // 8), MAX_SEGMENTS)
    _check_count(tag.values, f"values in tag {tag.code}", most)


def _check_count(count: int, what: str, most: int) -> None:
    if count > most:
        raise TooCostly(f"{count:,} {what}", pixel_passes=_PIXELS_A_VALUE * count, limit=_PIXELS_A_VALUE * most)


def _pages(data: bytes, most: int) -> Iterator[list[Tag]]:
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    offset_format, first = (struct.Struct(f"{order}Q"), 8) if big else (struct.Struct(f"{order}I"), 4)
    (offset,) = offset_format.unpack_from(data, first)
    for _ in range(most):
        if not offset:
            return
        if offset >= len(data):
            raise DamagedImage("tiff", "its pages lead out of the file")
        tags, end = _tags(data, offset, order, big)
        yield tags
        (offset,) = offset_format.unpack_from(data, end)


def _tags(data: bytes, offset: int, order: str, big: bool) -> tuple[list[Tag], int]:
    """Returns a directory's tags, and where the offset of the next directory stands."""
    count_format, entry_format = ("Q", "HHQ8x") if big else ("H", "HHI4x")
    (count,) = struct.unpack_from(order + count_format, data, offset)
    _check_count(count, "tags in a page", MAX_TAGS)
    entry = struct.Struct(order + entry_format)
    start = offset + struct.calcsize(order + count_format)
    end = start + count * entry.size
    return [
        Tag(code, kind, number, number * BYTES[kind])
        for code, kind, number in entry.iter_unpack(data[start:end])
        if code in READ and kind in BYTES
    ], end
