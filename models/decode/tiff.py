"""TIFF, BigTIFF, ImageJ and OME-TIFF: one plane, grey or colour, integers or floats.

The file is a stranger's. tifffile's notion of a series is not used: it follows cyclic pages for ever, and believes
the sizes that metadata claim. Pages are read one by one, and only what was checked is decoded.
"""

import io
import logging
import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import tifffile

from models.decode.decoder import Cost, Format, Probe, turned
from models.decode.tiff_jpeg import jpeg_cost, jpeg_damage
from models.decode.tiff_metadata import spacing_um, stack_sizes
from models.errors import DamagedImage, UnsupportedImage
from models.image import Array, without_alpha
from models.source import Source, plane

FORMAT = Format("TIFF", media_types=("image/tiff",), extensions=(".tif", ".tiff"))
MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
ORIENTATION = 274
GREY_OR_COLOUR = {"MINISWHITE", "MINISBLACK", "RGB", "PALETTE"}
JPEG = tifffile.COMPRESSION.JPEG
# Each of these decodes into a buffer of the size that the page states, whatever the compressed data hold.
BOUNDED = {
    tifffile.COMPRESSION[name]
    for name in (
        "NONE",
        "CCITTRLE",
        "CCITT_T4",
        "CCITT_T6",
        "LZW",
        "ADOBE_DEFLATE",
        "DEFLATE",
        "PACKBITS",
        "LZMA",
        "ZSTD",
    )
}
# Vendors' kinds of TIFF, for which tifffile would read more than the pages that are asked for.
PLAIN: dict[str, Any] = {f"is_{flag}": False for flag in tifffile.TIFF.FILE_FLAGS - {"ome", "imagej"}}
MAX_CHANNELS = 4

# tifffile logs what it dislikes in a file, tag contents included; a tag may hold a name.
logging.getLogger("tifffile").disabled = True


def sniff(data: bytes) -> bool:
    return data[:4] in MAGIC


def probe(data: bytes) -> Probe:
    """Reads the pages' tags. Refuses stacks, more than 4 channels, and unsupported compressions and colours."""
    with _damage():
        file = tifffile.TiffFile(io.BytesIO(data), _multifile=False, **PLAIN)
        planes = _planes(file)
        for page in planes:
            _check(page)
        first = planes[0]
        orientation = int(first.tags.valueof(ORIENTATION, 1))
        width, height = turned(first.imagewidth, first.imagelength, orientation)
        return Probe(
            FORMAT,
            width,
            height,
            3 if len(planes) > 1 or first.samplesperpixel > 2 or _has_palette(first) else 1,
            _dtype(first),
            pages=len(planes),
            block=(first.tilewidth, first.tilelength) if first.is_tiled else None,
            header=(planes, orientation, spacing_um(file, first)),
            cost=_cost(planes, data),
        )


def open(data: bytes, probed: Probe) -> Source:
    planes, orientation, spacing = probed.header
    with _damage():
        pixels = np.concatenate([_pixels(page) for page in planes], axis=2)
        return plane(pixels, "tiff", orientation, spacing, _damage_in(planes, data))


def _cost(planes: list[tifffile.TiffPage], data: bytes) -> Cost | None:
    costs = [jpeg_cost(page, data) for page in planes if page.compression == JPEG]
    return max(costs, default=None)


def _damage_in(planes: list[tifffile.TiffPage], data: bytes) -> str | None:
    for page in planes:
        places = list(zip(page.dataoffsets, page.databytecounts))
        if len(places) < math.prod(page.chunked):
            return f"it has {len(places)} of {math.prod(page.chunked)} strips or tiles"
        if any(offset + length > len(data) for offset, length in places):
            return "strips or tiles are beyond its end"
        if page.compression == JPEG and (damage := jpeg_damage(page, data)):
            return damage
    return None


@contextmanager
def _damage() -> Iterator[None]:
    """Turns the errors of tifffile and its codecs on a damaged file into DamagedImage; fuzzing found each of them."""
    try:
        yield
    except (
        tifffile.TiffFileError,
        struct.error,
        zlib.error,
        AttributeError,
        IndexError,
        KeyError,
        MemoryError,
        OSError,
        OverflowError,
        RuntimeError,
        TypeError,
        ValueError,
        ZeroDivisionError,
    ) as error:
        raise DamagedImage("tiff", type(error).__name__) from error


def _planes(file: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    """Returns the pages that make up the image: the first, or three that the file says are its channels.

    Further pages of another size (a thumbnail, a pyramid's levels) are left alone.
    """
    pages = list(_first_pages(file))
    planes = [page for page in pages if (page.shape, page.dtype) == (pages[0].shape, pages[0].dtype)]
    sizes = stack_sizes(file, pages=len(pages))
    stated = math.prod(sizes.values())
    if len(planes) == 1 and (stated == 1 or stated == pages[0].samplesperpixel):
        return planes
    if len(planes) == 3 and sizes.get("C") == stated == 3 and pages[0].samplesperpixel == 1:
        return planes
    what = ", ".join(f"{axis} = {size}" for axis, size in sizes.items()) or f"{len(planes)} or more images of one size"
    raise UnsupportedImage(
        f"The TIFF holds {what}; this service takes one plane (Y, X) of 1 to {MAX_CHANNELS} channels."
    )


def _first_pages(file: tifffile.TiffFile) -> Iterator[tifffile.TiffPage]:
    for index in range(MAX_CHANNELS + 1):
        try:
            yield file.pages[index]
        except IndexError:
            if _link(file):
                raise DamagedImage("tiff", "its pages lead out of the file") from None
            return


def _link(file: tifffile.TiffFile) -> int:
    """Returns the offset of the page after the last readable one; 0 if the file ends there."""
    file.filehandle.seek(file.pages.next_page_offset)
    link: tuple[int] = struct.unpack(file.tiff.offsetformat, file.filehandle.read(file.tiff.offsetsize))
    return link[0]


def _check(page: tifffile.TiffPage) -> None:
    """Refuses images that are neither grey nor colour, before anything is decoded."""
    sizes = [(page.imagelength, page.imagewidth), (page.tilelength, page.tilewidth)][: 1 + page.is_tiled]
    for height, width in sizes:
        if not (isinstance(height, int) and isinstance(width, int) and height * width > 0):
            raise DamagedImage("tiff", "a size that it states is no positive number")
    if page.is_tiled and page.tilelength * page.tilewidth < 64:  # a file of such tiles would take hours
        raise DamagedImage("tiff", f"its tiles are {page.tilewidth} x {page.tilelength} pixels")
    if page.imagedepth != 1 or not 1 <= page.samplesperpixel <= MAX_CHANNELS:
        what = f"Z = {page.imagedepth}, S = {page.samplesperpixel}"
        raise UnsupportedImage(f"The TIFF holds {what}; this service takes one plane of 1 to 4 channels.")
    photometric, compression = page.photometric, page.compression
    if photometric.name not in GREY_OR_COLOUR and (photometric.name, compression) != ("YCBCR", JPEG):
        raise UnsupportedImage(f"The TIFF's colours are {photometric.name}; this service takes grey, RGB and palettes.")
    if compression not in BOUNDED | {JPEG}:
        raise UnsupportedImage(
            f"The TIFF is compressed by {compression.name}; this service takes none, LZW, Deflate, Zstandard, LZMA,"
            " PackBits, CCITT and JPEG."
        )


def _pixels(page: tifffile.TiffPage) -> Array:
    """Decodes a page to (H, W, C): palette looked up, white-is-zero inverted, alpha dropped, real numbers only."""
    pixels = page.asarray(maxworkers=1)
    if page.axes == "SYX":
        pixels = np.moveaxis(pixels, 0, 2)
    elif page.axes not in ("YX", "YXS"):
        raise UnsupportedImage(f"The TIFF's axes are {page.axes}; this service takes one plane of 1 to 4 channels.")
    if _has_palette(page):
        return np.ascontiguousarray(np.moveaxis(page.colormap[:, pixels], 0, 2))
    if pixels.dtype.kind not in "biuf":
        raise UnsupportedImage(f"The TIFF holds {pixels.dtype} values; this service takes integers and real numbers.")
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and pixels.dtype.kind in "bu":
        pixels = (2**page.bitspersample - 1 - pixels.astype(np.uint64)).astype(pixels.dtype)
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    return without_alpha(pixels)


def _has_palette(page: tifffile.TiffPage) -> bool:
    return bool(page.photometric == tifffile.PHOTOMETRIC.PALETTE)


def _dtype(page: tifffile.TiffPage) -> str:
    """Returns the dtype that _pixels gives."""
    if _has_palette(page):
        return str(page.colormap.dtype)
    return "uint8" if page.dtype == bool else str(page.dtype)
