"""TIFF files that an attacker would send: small, or quick to make, and meant to take long."""

import zlib

from tests.models.decode import handmade_tiff as made
from tests.models.decode.crafted_deflate import in_blocks_of
from tests.models.decode.files import noise, pillow, soft, tiff
from tests.models.decode.handmade_tiff import Maker, described, grey, handmade, strip, stuffed, text, tiles, values

NEARLY = b'<OME Pixels SizeC="' + b"9" * 20


def overlapping(compression: int, size: int = 100_000) -> Maker:
    return lambda: tiles(stuffed(compression, size), compression)


def idle(compression: int) -> Maker:
    return lambda: strip(stuffed(compression, 1_000_000), compression)


def idle_then_honest(compression: int, pixels: bytes) -> bytes:
    """An image of 1024 x 1024 behind twice as many bytes that become nothing."""
    head = stuffed(compression, 1_300_000)
    return strip(head + (pixels[2:] if compression == made.DEFLATE else pixels), compression, side=1024)


def ome(attributes: bytes, *, around: bytes = b"") -> bytes:
    return described(b"<OME>" + around + b'<Pixels SizeX="64" ' + attributes + b"/>" + around + b"</OME>")


def beyond_its_end() -> bytes:
    count = 16_384
    places = (values(made.TILE_OFFSETS, *[8] * count), values(made.TILE_COUNTS, *[2**32 - 1] * count))
    size = (values(made.TILE_WIDTH, 16), values(made.TILE_LENGTH, 16))
    return handmade(grey(2048, 2048, *size, *places, compression=made.DEFLATE), stuffed(made.DEFLATE, 100_000))


def without_places(side: int, tile: int) -> bytes:
    size = (values(made.TILE_WIDTH, tile), values(made.TILE_LENGTH, tile))
    return handmade(grey(side, side, *size, values(made.TILE_OFFSETS, 8), values(made.TILE_COUNTS, 1)), b"7")


def one_tile(tile: int, *more: made.Tag) -> bytes:
    stream = zlib.compress(bytes(tile * tile), 1)
    size = (values(made.TILE_WIDTH, tile), values(made.TILE_LENGTH, tile), *more)
    places = (values(made.TILE_OFFSETS, 8), values(made.TILE_COUNTS, len(stream)))
    return handmade(grey(16, 16, *size, *places, compression=made.DEFLATE), stream)


def scans(number: int) -> bytes:
    """A TIFF of 64 tiles, each of which is the same progressive JPEG with a scan repeated."""
    jpeg = pillow(soft(64, 64), "JPEG", progressive=True)
    last = jpeg.rindex(b"\xff\xda")
    data = jpeg[:last] + jpeg[last:-2] * number + b"\xff\xd9"
    return tiles(data, 7, side=512, tile=64)


def pages_that_share_a_text() -> bytes:
    first = described(b"x" * 1_000_000, *[text(made.DESCRIPTION, b"x")] * 50)
    return first[:-4] + first[4:8]


def negative() -> bytes:
    counts = values(made.COUNTS, *[-5, 5] * 32, type=made.SLONG)
    return handmade(grey(64, 64, values(made.OFFSETS, *[8] * 64), counts, values(made.ROWS, 1), compression=made.LZW))


SHARED = "2048 x 2048 whose tiles share 100 KB of "
IDLE = "64 x 64 with 1 MB of "
TIFFS: dict[str, Maker] = {
    SHARED + "PackBits that do nothing": overlapping(made.PACKBITS),
    SHARED + "empty Deflate blocks": overlapping(made.DEFLATE),
    SHARED + "LZW clear codes": overlapping(made.LZW),
    SHARED + "empty Zstandard frames": overlapping(made.ZSTD),
    SHARED + "XZ streams of one byte": overlapping(made.LZMA),
    "2048 x 2048 whose tiles share 800 KB of PackBits that do nothing": overlapping(made.PACKBITS, 800_000),
    "tiles that are the same JPEG of 1,000 scans": lambda: scans(1000),
    "1 x 250,000, a strip a pixel": lambda: made.a_strip_a_pixel(250_000),
    "1 x 250,000, a strip a pixel, one behind the other": lambda: made.a_strip_a_pixel(250_000, step=1),
    "tiles whose lengths lead out of the file": beyond_its_end,
    "tiles of 8 x 8 without places in 8192 x 8192": lambda: without_places(8192, 8),
    "lengths below zero": negative,
    IDLE + "PackBits that do nothing": idle(made.PACKBITS),
    IDLE + "empty Deflate blocks": idle(made.DEFLATE),
    IDLE + "LZW clear codes": idle(made.LZW),
    IDLE + "empty Zstandard frames": idle(made.ZSTD),
    IDLE + "small Zstandard blocks": lambda: strip(made.TABLES * 12_000, made.ZSTD),
    IDLE + "XZ streams of one byte": idle(made.LZMA),
    IDLE + "XZ dictionaries by turns": lambda: strip(made.dictionaries(9000), made.LZMA),
    IDLE + "fax codes": lambda: strip(b"\x35" * 1_000_000, made.FAX, bits=1),
    "an XZ dictionary of 4 GiB": lambda: strip(made.with_dictionary(made.XZ_OF_4096, 40), made.LZMA),
    "Zstandard blocks of a few bytes each": lambda: strip(made.TABLES * 4000, made.ZSTD, side=1024),
    "1024 x 1024 behind twice as many LZW clear codes": lambda: idle_then_honest(made.LZW, made.lzw(soft(1024, 1024))),
    "1024 x 1024 behind twice as many empty Deflate blocks": lambda: idle_then_honest(
        made.DEFLATE, zlib.compress(soft(1024, 1024).tobytes())
    ),
    "1024 x 1024 with tables for each 8 pixels": lambda: strip(in_blocks_of(8, 2**20), made.DEFLATE, side=1024),
    "1024 x 1024 with tables for each 64 pixels": lambda: strip(in_blocks_of(64, 2**20), made.DEFLATE, side=1024),
    "60 MB of zeros where 64 x 64 belong": lambda: strip(made.BOMB, made.DEFLATE),
    "a tile of 4096 x 4096 for 16 x 16": lambda: one_tile(4096),
    "a tile of 16 x 16 x 1,000,000": lambda: one_tile(16, values(32998, 1_000_000)),
    "65,535 tags": lambda: handmade(grey(64, 64) + [values(40_000, 1)] * 65_530),
    "a million rationals in a tag": lambda: described(b"", (282, made.RATIONAL, 1_000_000, b"\1" * 8_000_000)),
    "a million bits of a sample": lambda: described(b"", (277, made.SHORT, 1_000_000, b"\1\0" * 1_000_000)),
    "a million pages within a page": lambda: described(b"", (330, made.LONG, 1_000_000, b"\x08\0\0\0" * 1_000_000)),
    "a million strips of one place": lambda: described(b"", values(made.OFFSETS, *[8] * 1_000_000)),
    "a million planes (STK)": lambda: described(b"", (33629, made.RATIONAL, 1_000_000, bytes(8_000_000))),
    "pages that share a text": pages_that_share_a_text,
    "4,096 pages": lambda: made.chain(4096),
    "pages in a circle": made.loop,
    "8 MB of OME-XML that nearly says its size": lambda: ome(NEARLY * 200_000),
    "8 MB of OME-XML in tags that are none": lambda: ome(b"", around=b"<Pixels x" * 450_000),
    "a million digits of a pixel's size": lambda: ome(b'PhysicalSizeX="' + b"1" * 1_000_000 + b'"'),
    "a million digits of a stack's size": lambda: ome(b'SizeC="' + b"1" * 1_000_000 + b'"'),
    "two million lines of ImageJ": lambda: described(b"ImageJ=1\n" + b"a=b\n" * 2_000_000),
    "a million digits in ImageJ": lambda: described(b"ImageJ=1\nimages=" + b"1" * 1_000_000),
    "a million digits of a value that stands for none": lambda: described(b"", text(42113, b"1" * 1_000_000)),
    "a strip for each row of each colour": lambda: tiff(
        noise(3, 64, 64), photometric="rgb", planarconfig="separate", rowsperstrip=1
    ),
}
