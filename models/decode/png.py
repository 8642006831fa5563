"""PNG of 1 to 16 bits, grey, colour or palette (ISO/IEC 15948)."""

import logging
import struct
from collections.abc import Iterator

import imagecodecs
from PIL.Image import Exif

from models.decode.exif import orientation
from models.errors import DamagedImage, TooManyPixels
from models.image import Image, upright, without_alpha

# imagecodecs logs libpng's warnings, which may quote the file.
logging.getLogger("imagecodecs").disabled = True

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def sniff(data: bytes) -> bool:
    return data.startswith(SIGNATURE)


def read(data: bytes, *, max_pixels: int) -> Image:
    """PNG bytes -> Image of uint8 or uint16; fewer than 8 bits are stretched to 8, as the standard says."""
    try:
        chunks = dict(_chunks(data))
        width, height = struct.unpack_from(">II", chunks[b"IHDR"])
        turn, pixel_size_um = _turn(chunks), _pixel_size(chunks)
    except (struct.error, KeyError, SyntaxError) as error:
        raise DamagedImage("png", "its header is incomplete") from error
    if width * height > max_pixels:
        raise TooManyPixels(width=width, height=height, limit=max_pixels)
    try:
        # Pillow would cut 16-bit colour to 8 bits.
        pixels = imagecodecs.png_decode(data)
    except (imagecodecs.PngError, ValueError) as error:
        raise DamagedImage("png", str(error)) from error
    return Image(upright(without_alpha(pixels), turn), format="png", pixel_size_um=pixel_size_um)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """PNG bytes -> (type, content) of each chunk before the pixels."""
    offset = len(SIGNATURE)
    while offset < len(data):
        length, kind = struct.unpack_from(">I4s", data, offset)
        if kind == b"IDAT":
            return
        yield kind, data[offset + 8 : offset + 8 + length]
        offset += length + 12


def _turn(chunks: dict[bytes, bytes]) -> int:
    if b"eXIf" not in chunks:
        return 1
    exif = Exif()
    exif.load(chunks[b"eXIf"])
    return orientation(exif)


def _pixel_size(chunks: dict[bytes, bytes]) -> float | None:
    """pHYs counts pixels per metre; screen resolutions (coarser than 50 um a pixel) say nothing of the specimen."""
    x, y, unit = struct.unpack(">IIB", chunks.get(b"pHYs", bytes(9)))
    return 1e6 / x if unit == 1 and x == y and x > 20_000 else None
