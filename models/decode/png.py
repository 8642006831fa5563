"""PNG of 1 to 16 bits, grey, colour or palette (ISO/IEC 15948)."""

import logging
import struct
import zlib

import imagecodecs

from models.decode.decoder import Format, Probe, turned
from models.decode.exif import orientation_of
from models.errors import DamagedImage
from models.source import Source, plane

# imagecodecs logs libpng's warnings, which may quote the file.
logging.getLogger("imagecodecs").disabled = True

FORMAT = Format("PNG", media_types=("image/png",), extensions=(".png",))
SIGNATURE = b"\x89PNG\r\n\x1a\n"
_FIRST = len(SIGNATURE)
_COLOUR = {2, 3, 6}  # RGB, palette, RGB with alpha
_CHUNK = struct.Struct(">I4s")  # length, type
_HEADER = struct.Struct(">I4sIIBB")  # length, type, width, height, bits, colour type
_COARSEST = 20_000  # pixels a metre: a screen's resolution (above 50 um a pixel) says nothing of the specimen


def sniff(data: bytes) -> bool:
    return data.startswith(SIGNATURE)


def probe(data: bytes) -> Probe:
    """Reads the chunks before the pixels. Fewer than 8 bits a sample become uint8, as the standard says."""
    try:
        length, kind, width, height, bits, colour = _HEADER.unpack_from(data, _FIRST)
        chunks = _chunks(data, _FIRST + length + 12)
        orientation, spacing_um = (_orientation(chunks), _spacing_um(chunks)) if chunks else (1, None)
    except (struct.error, SyntaxError) as error:
        raise DamagedImage("png", "its header is incomplete") from error
    if kind != b"IHDR":
        raise DamagedImage("png", "it does not begin with its header")
    if orientation != 1:
        width, height = turned(width, height, orientation)
    channels, dtype = 3 if colour in _COLOUR else 1, "uint16" if bits == 16 else "uint8"
    return Probe(FORMAT, width, height, channels, dtype, 1, None, (orientation, spacing_um))


def open(data: bytes, probed: Probe) -> Source:
    orientation, spacing_um = probed.header
    try:
        # Pillow would cut 16-bit colour to 8 bits.
        pixels = imagecodecs.png_decode(data)
    except (imagecodecs.PngError, ValueError) as error:
        raise DamagedImage("png", str(error)) from error
    return plane(pixels, "png", orientation, spacing_um)


def _chunks(data: bytes, offset: int) -> dict[bytes, bytes]:
    """Returns the content of each chunk between this offset and the pixels, by type. Raises DamagedImage."""
    chunks = {}
    while offset < len(data):
        length, kind = _CHUNK.unpack_from(data, offset)
        if kind == b"IDAT":
            break
        content = data[offset + 8 : offset + 8 + length]
        offset += length + 12
        if data[offset - 4 : offset] != zlib.crc32(content, zlib.crc32(kind)).to_bytes(4, "big"):
            raise DamagedImage(
                "png", f"{kind.decode('latin-1')}: CRC error"
            )  # libpng lets pass those before the pixels
        chunks[kind] = content
    return chunks


def _orientation(chunks: dict[bytes, bytes]) -> int:
    return orientation_of(chunks[b"eXIf"]) if b"eXIf" in chunks else 1


def _spacing_um(chunks: dict[bytes, bytes]) -> tuple[float, float] | None:
    """Reads a pixel's height and width from pHYs: pixels per metre along X and Y, or only their ratio."""
    if b"pHYs" not in chunks:
        return None
    x, y, unit = struct.unpack(">IIB", chunks[b"pHYs"])
    return (1e6 / y, 1e6 / x) if unit == 1 and min(x, y) > _COARSEST else None
