"""JPEGs inside a TIFF: each strip or tile is one, and they share their tables (TIFF Technical Note 2)."""

import math
from collections.abc import Iterator

import tifffile

from models.decode.decoder import Cost
from models.decode.jpeg_damage import damage_of
from models.decode.jpeg_header import Jpeg
from models.errors import DamagedImage

_TABLES = 347
_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"


def jpeg_cost(page: tifffile.TiffPage, data: bytes) -> Cost:
    """Reads the headers of a page's JPEGs. Raises DamagedImage, also if one is larger than its tile or strip."""
    strip = (min(page.rowsperstrip, page.imagelength), page.imagewidth)
    limit = math.prod((page.tilelength, page.tilewidth) if page.is_tiled else strip)
    passes = scans = 0
    for jpeg in _jpegs(page, data):
        width, height = jpeg.frame.width, jpeg.frame.height
        if height * width > limit:
            raise DamagedImage("tiff", f"a JPEG of {width} x {height} stands where {limit:,} pixels belong")
        passes += jpeg.scans * width * height
        scans += jpeg.scans
    return Cost(passes, f"{scans:,} scans of JPEG")


def jpeg_damage(page: tifffile.TiffPage, data: bytes) -> str | None:
    """Returns what is damaged in the first JPEG of a page that is; None if nothing is known of."""
    return next(filter(None, map(damage_of, _jpegs(page, data))), None)


def _jpegs(page: tifffile.TiffPage, data: bytes) -> Iterator[Jpeg]:
    tables = _tables(page)
    for offset, length in zip(page.dataoffsets, page.databytecounts):
        if not length:
            continue  # a tile may be left out
        try:
            yield Jpeg(_SOI + tables + data[offset + 2 : offset + length])
        except DamagedImage as error:
            raise DamagedImage("tiff", f"of a JPEG in it, {error.reason}") from error


def _tables(page: tifffile.TiffPage) -> bytes:
    """Returns the segments that all JPEGs of the page share, without SOI and EOI."""
    shared = bytes(page.tags.valueof(_TABLES, b""))
    return shared[2 : shared.rfind(_EOI)] if _EOI in shared else shared[2:]
