"""TIFF files written tag by tag, and bytes that compressions turn into nothing."""

import lzma
import struct
import zlib
from collections.abc import Callable, Sequence

import imagecodecs
import numpy as np

from models.image import Array

Maker = Callable[[], bytes]
SHORT, LONG, RATIONAL, ASCII, SLONG = 3, 4, 5, 2, 9
NONE, FAX, LZW, DEFLATE, PACKBITS, LZMA, ZSTD = 1, 4, 5, 8, 32773, 34925, 50000
WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, DESCRIPTION = 256, 257, 258, 259, 262, 270
OFFSETS, ROWS, COUNTS, TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_COUNTS = 273, 278, 279, 322, 323, 324, 325
SIZES = {SHORT: 2, LONG: 4, RATIONAL: 8, ASCII: 1, SLONG: 4}
Tag = tuple[int, int, int, bytes]  # code, type, number of values, their bytes


def values(code: int, *numbers: int, type: int = LONG) -> Tag:
    return code, type, len(numbers), struct.pack(f"<{len(numbers)}{'i' if type == SLONG else 'I'}", *numbers)


def text(code: int, content: bytes) -> Tag:
    return code, ASCII, len(content), content


def handmade(tags: Sequence[Tag], data: bytes = b"", *, following: int = 0) -> bytes:
    """A TIFF whose data stand at 8, and its one page behind them. following: the offset of the next page."""
    body, entries = bytearray(b"\0" * 8 + data), bytearray()
    for code, type, count, content in tags:
        place = content.ljust(4, b"\0") if len(content) <= 4 else struct.pack("<I", len(body))
        entries += struct.pack("<HHI", code, type, count) + place
        body += content if len(content) > 4 else b""
    struct.pack_into("<4sI", body, 0, b"II*\0", len(body))
    return bytes(body) + struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)


def grey(width: int, length: int, *tags: Tag, compression: int = NONE, bits: int = 8) -> list[Tag]:
    size = [values(WIDTH, width), values(LENGTH, length), values(BITS, bits)]
    return [*size, values(COMPRESSION, compression), values(PHOTOMETRIC, 1), *tags]


def strip(data: bytes, compression: int, *, side: int = 64, bits: int = 8) -> bytes:
    """A grey image of one strip, which holds these bytes."""
    tags = (values(OFFSETS, 8), values(COUNTS, len(data)), values(ROWS, side))
    return handmade(grey(side, side, *tags, compression=compression, bits=bits), data)


def tiles(data: bytes, compression: int, *, side: int = 2048, tile: int = 16) -> bytes:
    """A grey image of side x side whose tiles are all the same bytes."""
    count = (side // tile) ** 2
    places = (values(TILE_OFFSETS, *[8] * count), values(TILE_COUNTS, *[len(data)] * count))
    tags = grey(side, side, values(TILE_WIDTH, tile), values(TILE_LENGTH, tile), *places, compression=compression)
    return handmade(tags, data)


def described(description: bytes, *more: Tag) -> bytes:
    tags = (text(DESCRIPTION, description), values(OFFSETS, 8), values(COUNTS, 4096), values(ROWS, 64), *more)
    return handmade(grey(64, 64, *tags), bytes(4096))


def a_strip_a_pixel(length: int, *, step: int = 0) -> bytes:
    """A column of pixels. step: from a strip to the next; 0 where all have one place."""
    places = values(OFFSETS, *(8 + step * index for index in range(length)))
    return handmade(grey(1, length, places, values(COUNTS, *[1] * length), values(ROWS, 1)), bytes(1 + step * length))


def with_dictionary(stream: bytes, code: int) -> bytes:
    """Changes the size of the dictionary that an XZ stream asks for; 40 stands for 4 GiB."""
    end = 12 + 4 * (stream[12] + 1)
    head = bytearray(stream[12 : end - 4])
    head[head.index(b"\x21\x01") + 2] = code
    return stream[:12] + bytes(head) + struct.pack("<I", zlib.crc32(head)) + stream[end:]


def chain(pages: int) -> bytes:
    """Pages of one pixel each, one behind the other."""
    tags = grey(1, 1, values(OFFSETS, 8), values(COUNTS, 1), values(ROWS, 1))
    first = handmade(tags, b"\7")
    (start,) = struct.unpack_from("<I", first, 4)
    page = first[start:-4]
    links = (start + (index + 1) * (len(page) + 4) for index in range(pages))
    return first[:start] + b"".join(page + struct.pack("<I", link) for link in links)[:-4] + bytes(4)


def loop() -> bytes:
    data = strip(bytes(4096), NONE)
    return data[:-4] + data[4:8]


CLEAR = np.packbits([int(bit) for bit in "100000000" * 8]).tobytes()  # LZW's code 256 eight times
STORED = bytes.fromhex("000000ffff")  # an empty stored block of Deflate
FRAME, XZ = bytes(imagecodecs.zstd_encode(b"")), lzma.compress(b"a", check=lzma.CHECK_NONE)
TABLES = bytes(imagecodecs.zstd_encode(bytes(np.random.default_rng(0).choice(list(b"aaaaabbbc"), 300)), level=19))
BOMB = zlib.compress(bytes(60_000_000))
FULL = {  # compression -> 100 bytes that become none
    PACKBITS: b"\x80" * 100,
    DEFLATE: STORED * 20,
    LZW: CLEAR * 11,
    ZSTD: FRAME * 11,
    LZMA: XZ * 2,
}
NAMES = {PACKBITS: "PackBits", DEFLATE: "Deflate", LZW: "LZW", ZSTD: "Zstandard", LZMA: "LZMA"}


def stuffed(compression: int, size: int) -> bytes:
    """Bytes of a compression that become nothing."""
    head = b"\x78\x01" if compression == DEFLATE else b""
    return head + FULL[compression] * (size // len(FULL[compression]))


def lzw(pixels: Array) -> bytes:
    return bytes(imagecodecs.lzw_encode(pixels.tobytes()))


def dictionaries(number: int) -> bytes:
    """XZ streams of one byte, whose dictionaries are to be large and small by turns."""
    return (with_dictionary(XZ, 36) + with_dictionary(XZ, 30)) * number


XZ_OF_4096 = lzma.compress(bytes(4096))
