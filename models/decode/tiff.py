"""TIFF, BigTIFF, ImageJ and OME-TIFF: one plane, grey or colour, integers or floats.

The file is a stranger's. tifffile's notion of a series is not used: it follows cyclic pages for ever, and believes
the sizes that metadata claim. Pages are read one by one, and only what was checked is decoded.
"""

import math

import numpy as np
import tifffile

from models.decode.decoder import Cost, Format, Probe, Refusing, turned
from models.decode.tiff_cost import pages_cost
from models.decode.tiff_directory import check_directories
from models.decode.tiff_file import TiffFile
from models.decode.tiff_jpeg import jpeg_cost, jpeg_damage
from models.decode.tiff_metadata import spacing_um, stack_sizes
from models.decode.tiff_streams import check_streams
from models.errors import DamagedImage, UnsupportedImage
from models.image import Array, without_alpha
from models.source import Source, plane

FORMAT = Format("TIFF", media_types=("image/tiff",), extensions=(".tif", ".tiff"))
_REFUSING = Refusing("tiff")
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
MAX_CHANNELS = 4


def sniff(data: bytes) -> bool:
    return data[:4] in MAGIC


def probe(data: bytes) -> Probe:
    """Reads the pages' tags. Refuses stacks, more than 4 channels, and unsupported compressions and colours."""
    with _REFUSING:
        count = check_directories(data, most=MAX_CHANNELS + 1)
        file = TiffFile(data, pages=count)
        planes = _planes(file)
        for page in planes:
            _check(page)
        cost = _cost(planes, data)
        for page in planes:
            check_streams(page, data)
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
            header=(file, planes, orientation, spacing_um(file.tiff, first)),
            cost=cost,
        )


def open(data: bytes, probed: Probe) -> Source:
    _, planes, orientation, spacing = probed.header
    with _REFUSING:
        pixels = _pixels(planes[0]) if len(planes) == 1 else np.concatenate([_pixels(page) for page in planes], axis=2)
        return plane(pixels, "tiff", orientation, spacing, _damage_in(planes, data))


def _cost(planes: list[tifffile.TiffPage], data: bytes) -> Cost | None:
    """Returns the greatest cost of all: of the segments' number and bytes, and of the scans in each page's JPEGs."""
    of_segments = pages_cost(planes, file_bytes=len(data))  # first, since it bounds what the next goes through
    of_jpegs = [jpeg_cost(page, data) for page in planes if page.compression == JPEG]
    return max(filter(None, [of_segments, *of_jpegs]), default=None)


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


def _planes(file: TiffFile) -> list[tifffile.TiffPage]:
    """Returns those of the first pages that make up the image: one, or three that the file says are its channels.

    Further pages of another size (a thumbnail, a pyramid's levels) are left alone.
    """
    pages = file.pages
    planes = [page for page in pages if (page.shape, page.dtype) == (pages[0].shape, pages[0].dtype)]
    sizes = stack_sizes(file.tiff, pages=len(pages))
    stated = math.prod(sizes.values())
    if len(planes) == 1 and (stated == 1 or stated == pages[0].samplesperpixel):
        return planes
    if len(planes) == 3 and sizes.get("C") == stated == 3 and pages[0].samplesperpixel == 1:
        return planes
    what = ", ".join(f"{axis} = {size}" for axis, size in sizes.items()) or f"{len(planes)} or more images of one size"
    raise UnsupportedImage(
        f"The TIFF holds {what}; this service takes one plane (Y, X) of 1 to {MAX_CHANNELS} channels."
    )


def _check(page: tifffile.TiffPage) -> None:
    """Refuses images that are neither grey nor colour, before anything is decoded."""
    sizes = [(page.imagelength, page.imagewidth), (page.tilelength, page.tilewidth)][: 1 + page.is_tiled]
    for height, width in sizes:
        if not (isinstance(height, int) and isinstance(width, int) and height * width > 0):
            raise DamagedImage("tiff", "a size that it states is no positive number")
    if page.is_tiled and page.tilelength * page.tilewidth < 64:  # a file of such tiles would take hours
        raise DamagedImage("tiff", f"its tiles are {page.tilewidth} x {page.tilelength} pixels")
    if page.imagedepth != 1 or page.tiledepth != 1 or not 1 <= page.samplesperpixel <= MAX_CHANNELS:
        what = f"Z = {page.imagedepth}, S = {page.samplesperpixel}"
        raise UnsupportedImage(f"The TIFF holds {what}; this service takes one plane of 1 to 4 channels.")
    if page.dtype is None or page.dtype.kind not in "biuf":
        what = page.dtype or f"{page.bitspersample}-bit"
        raise UnsupportedImage(f"The TIFF holds {what} values; this service takes integers and real numbers.")
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
        indices = pixels.view(np.uint8) if pixels.dtype == bool else pixels
        return np.ascontiguousarray(np.moveaxis(page.colormap[:, indices], 0, 2))
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and pixels.dtype.kind in "bu":
        pixels = pixels ^ pixels.dtype.type(2**page.bitspersample - 1)  # the largest value minus the pixel's
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
