"""PNG files that an attacker would send: small, or quick to make, and meant to take long."""

import struct
import zlib
from collections.abc import Callable

from models.decode.png import SIGNATURE
from tests.models.decode.crafted_deflate import in_blocks_of
from tests.models.decode.files import png, soft

Maker = Callable[[], bytes]
SIDE = 512
HONEST = png(soft(SIDE, SIDE))
ROWS = b"".join(b"\0" + row.tobytes() for row in soft(SIDE, SIDE))
STREAM = zlib.compress(ROWS)
BOMB = zlib.compress(bytes(60_000_000))


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def header(width: int, height: int, *, bits: int = 8, colour: int = 0, interlaced: bool = False) -> bytes:
    return SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced))


def handmade(*before: bytes, stream: bytes = STREAM, behind: bytes = b"", start: bytes = b"") -> bytes:
    """A grey image of SIDE x SIDE, with chunks before and behind its pixels."""
    pixels = chunk(b"IDAT", stream) if stream else b""
    return (start or header(SIDE, SIDE)) + b"".join(before) + pixels + behind + chunk(b"IEND")


def narrow(*, interlaced: bool) -> bytes:
    """1 x 1,000,000, in which each row costs libpng as much as 50 pixels."""
    return handmade(stream=zlib.compress(bytes(2_000_000)), start=header(1, 1_000_000, interlaced=interlaced))


EMPTY_STORED, EMPTY_FIXED = bytes.fromhex("000000ffff"), bytes.fromhex("0208208000")  # one block; four
PNGS: dict[str, Maker] = {
    "PNG of one-byte IDAT chunks": lambda: handmade(
        *(chunk(b"IDAT", STREAM[place : place + 1]) for place in range(len(STREAM))), stream=b""
    ),
    "PNG with 300,000 empty IDAT chunks": lambda: handmade(chunk(b"IDAT") * 300_000),
    "PNG whose pixels go on for 100 MB": lambda: handmade(stream=zlib.compress(ROWS + bytes(100_000_000), 1)),
    "PNG with 20 zTXt bombs": lambda: handmade(chunk(b"zTXt", b"k\0\0" + BOMB) * 20),
    "PNG with 20 iTXt bombs": lambda: handmade(chunk(b"iTXt", b"k\0\1\0\0\0" + BOMB) * 20),
    "PNG with 20 iCCP bombs": lambda: handmade(chunk(b"iCCP", b"k\0\0" + BOMB) * 20),
    "PNG with 100,000 texts": lambda: handmade(chunk(b"tEXt", b"k\0abc") * 100_000),
    "PNG with 500,000 chunks that nobody knows": lambda: handmade(chunk(b"abCd") * 500_000),
    "PNG with 500 suggested palettes": lambda: handmade(
        *(chunk(b"sPLT", b"p%d\0\x08" % place + bytes(6000)) for place in range(500))
    ),
    "PNG with a chunk of 8 MB before its pixels": lambda: handmade(chunk(b"abCd", bytes(8_000_000))),
    "PNG with a chunk of 8 MB behind its pixels": lambda: handmade(behind=chunk(b"abCd", bytes(8_000_000))),
    "PNG with 100,000 frames (APNG)": lambda: handmade(
        chunk(b"acTL", bytes(8)), behind=(chunk(b"fcTL", bytes(26)) + chunk(b"fdAT", bytes(8))) * 100_000
    ),
    "PNG of 1 x 1,000,000": lambda: narrow(interlaced=False),
    "interlaced PNG of 1 x 1,000,000": lambda: narrow(interlaced=True),
    "PNG that states 7000 x 7000 in 100 bytes": lambda: handmade(
        stream=zlib.compress(b""), start=header(7000, 7000, bits=16, colour=6)
    ),
    "PNG with 1 MB of empty stored blocks": lambda: handmade(
        stream=b"\x78\x01" + bytes.fromhex("000000ffff") * 200_000
    ),
    "PNG with 1 MB of empty fixed blocks": lambda: handmade(stream=b"\x78\x01" + bytes.fromhex("0208208000") * 200_000),
    "PNG with tables for each 8 pixels": lambda: handmade(stream=in_blocks_of(8, len(ROWS))),
    "PNG with tables for each 16 pixels": lambda: handmade(stream=in_blocks_of(16, len(ROWS))),
    "PNG with a palette of 1 MB": lambda: handmade(chunk(b"PLTE", bytes(999_999)), start=header(SIDE, SIDE, colour=3)),
    "PNG with an IDAT chunk of 4 GB stated": lambda: handmade(behind=b"\xff\xff\xff\xffIDAT", stream=b""),
}
