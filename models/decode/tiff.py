"""TIFF, BigTIFF, ImageJ and OME-TIFF: one plane, grey or colour, integers or floats."""

import io
import logging
import re
import struct
import zlib

import numpy as np
import tifffile

from models.errors import DamagedImage, TooManyPixels, UnsupportedImage
from models.image import Array, Image, upright, without_alpha

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
ORIENTATION = 274
CENTIMETRE = 3
MICROMETRES = {"µm": 1.0, "um": 1.0, "micron": 1.0, "microns": 1.0, "nm": 1e-3, "mm": 1e3, "\\u00B5m": 1.0}

# tifffile logs what it dislikes in a file, tag contents included; a tag may hold a name.
logging.getLogger("tifffile").disabled = True


def sniff(data: bytes) -> bool:
    return data[:4] in MAGIC


def read(data: bytes, *, max_pixels: int) -> Image:
    """TIFF bytes -> Image in the file's own dtype; raises UnsupportedImage for stacks and for more than 4 channels."""
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page, shape, axes = file.pages.first, file.series[0].shape, file.series[0].axes
            if page.imagewidth * page.imagelength > max_pixels:
                raise TooManyPixels(width=page.imagewidth, height=page.imagelength, limit=max_pixels)
            _refuse_stack(shape, axes)
            pixels = _channels_last(file.series[0].asarray(maxworkers=1), axes)
            pixels = _intensities(pixels, page)
            orientation = page.tags.valueof(ORIENTATION, 1)
            pixel_size_um = _pixel_size(file, page)
    # What a damaged file makes tifffile and its codecs raise; each of these was seen in a fuzzed file.
    except (
        tifffile.TiffFileError,
        struct.error,
        zlib.error,
        AttributeError,
        IndexError,
        KeyError,
        OSError,
        RuntimeError,
        TypeError,
        ValueError,
        ZeroDivisionError,
    ) as error:
        raise DamagedImage("tiff", type(error).__name__) from error
    return Image(upright(pixels, int(orientation)), format="tiff", pixel_size_um=pixel_size_um)


def _refuse_stack(shape: tuple[int, ...], axes: str) -> None:
    extra = {axis: size for axis, size in zip(axes, shape) if axis not in "YXSC" and size > 1}
    channels = int(np.prod([size for axis, size in zip(axes, shape) if axis in "SC"], dtype=int))
    if extra or not 1 <= channels <= 4:
        what = ", ".join(f"{axis} = {size}" for axis, size in zip(axes, shape))
        raise UnsupportedImage(f"The TIFF holds {what}; this service takes one plane (Y, X) of 1 to 4 channels.")


def _channels_last(pixels: Array, axes: str) -> Array:
    """An array with axes such as "YX", "CYX" or "YXS" -> (H, W, C)."""
    keep = [i for i, axis in enumerate(axes) if axis in "YXSC"]
    pixels = pixels.reshape([pixels.shape[i] for i in keep])
    kept = "".join(axes[i] for i in keep)
    order = [kept.index("Y"), kept.index("X"), *(i for i, axis in enumerate(kept) if axis in "SC")]
    pixels = pixels.transpose(order)
    return pixels.reshape(*pixels.shape[:2], -1)


def _intensities(pixels: Array, page: tifffile.TiffPage) -> Array:
    """Stored values (H, W, C) -> intensities: palette looked up, white-is-zero inverted, alpha dropped, real only."""
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None:
        return np.ascontiguousarray(np.moveaxis(page.colormap[:, pixels[:, :, 0]], 0, 2))
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    if pixels.dtype.kind not in "iuf":
        raise UnsupportedImage(f"The TIFF holds {pixels.dtype} values; this service takes integers and real numbers.")
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and pixels.dtype.kind == "u":
        pixels = np.iinfo(pixels.dtype).max - pixels
    return without_alpha(pixels)


def _pixel_size(file: tifffile.TiffFile, page: tifffile.TiffPage) -> float | None:
    """The pixel's side in micrometres, from OME-XML, ImageJ or a resolution per centimetre; None if it is not told.

    Resolutions per inch are left alone: they are nearly always a printer's 72 or 300, not the specimen's.
    """
    if file.is_ome and file.ome_metadata:
        size = re.search(r'PhysicalSizeX="([0-9.eE+-]+)"', file.ome_metadata)
        unit = re.search(r'PhysicalSizeXUnit="([^"]+)"', file.ome_metadata)
        scale = MICROMETRES.get(unit.group(1) if unit else "µm")
        return float(size.group(1)) * scale if size and scale else None
    pixels, units = page.tags.valueof("XResolution", (0, 1))
    if not pixels:
        return None
    if file.is_imagej:
        scale = MICROMETRES.get((file.imagej_metadata or {}).get("unit", ""))
        return scale * units / pixels if scale else None
    return 1e4 * units / pixels if page.tags.valueof("ResolutionUnit", 0) == CENTIMETRE else None
