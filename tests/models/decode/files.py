"""Small image files of every kind that the decoders read, made in memory."""

import io
from typing import Any

import imagecodecs
import numpy as np
import PIL.Image
import tifffile

from models.image import Array

ORIENTATION = 274  # the EXIF and TIFF tag
STORED = np.array([[1, 2, 3], [4, 5, 6]], dtype=np.uint8) * 40  # tells every flip and rotation from every other
UPRIGHT = {  # EXIF orientation -> STORED as a person should see it (JEITA CP-3451, section 4.6.4)
    1: [[1, 2, 3], [4, 5, 6]],
    2: [[3, 2, 1], [6, 5, 4]],
    3: [[6, 5, 4], [3, 2, 1]],
    4: [[4, 5, 6], [1, 2, 3]],
    5: [[1, 4], [2, 5], [3, 6]],
    6: [[4, 1], [5, 2], [6, 3]],
    7: [[6, 3], [5, 2], [4, 1]],
    8: [[3, 6], [2, 5], [1, 4]],
}


def noise(*shape: int, dtype: Any = np.uint8) -> Array:
    random = np.random.default_rng(0)
    if np.dtype(dtype).kind == "f":
        return random.normal(size=shape).astype(dtype)
    return random.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def soft(*shape: int) -> Array:
    """Noise that compresses as a microscope's does, to some 65 %."""
    return np.random.default_rng(0).normal(128, 6, shape).astype(np.uint8)


def png(pixels: Array) -> bytes:
    return bytes(imagecodecs.png_encode(pixels))


def tiff(pixels: Array, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def pillow(picture: PIL.Image.Image | Array, format: str, *, orientation: int = 1, **options: Any) -> bytes:
    picture = picture if isinstance(picture, PIL.Image.Image) else PIL.Image.fromarray(picture)
    exif = PIL.Image.Exif()
    if orientation != 1:
        exif[ORIENTATION] = orientation
    file = io.BytesIO()
    picture.save(file, format, exif=exif, **options)
    return file.getvalue()


FILES = {
    "grey png": png(noise(9, 11)),
    "16-bit colour png": png(noise(9, 11, 3, dtype=np.uint16)),
    "png with EXIF and pixel size": pillow(noise(9, 11, 4), "PNG", orientation=6, dpi=(100_000, 100_000)),
    "palette png": pillow(PIL.Image.fromarray(noise(9, 11, 3)).quantize(16), "PNG"),
    "grey jpeg": pillow(noise(9, 11), "JPEG"),
    "colour jpeg with EXIF": pillow(noise(24, 24, 3), "JPEG", orientation=8),
    "progressive jpeg": pillow(noise(24, 24, 3), "JPEG", progressive=True),
    "CMYK jpeg": pillow(PIL.Image.fromarray(noise(24, 24, 4), "CMYK"), "JPEG"),
    "16-bit tiff": tiff(noise(9, 11, dtype=np.uint16)),
    "float tiff": tiff(noise(9, 11, dtype=np.float32), compression="zlib", predictor=True),
    "LZW tiff": tiff(noise(9, 11, 3), compression="lzw", rowsperstrip=2),
    "JPEG in tiff": tiff(noise(16, 16, 3), compression="jpeg"),
    "tiled tiff": tiff(noise(40, 40), tile=(16, 16)),
    "ImageJ tiff": tiff(noise(9, 11), imagej=True, resolution=(4, 4), metadata={"unit": "um"}),
    "OME-TIFF": tiff(noise(3, 9, 11), ome=True, metadata={"axes": "CYX", "PhysicalSizeX": 0.5}),
    "palette tiff": tiff(noise(9, 11), photometric="palette", colormap=noise(3, 256, dtype=np.uint16)),
    "big-endian BigTIFF": tiff(noise(9, 11), bigtiff=True, byteorder=">"),
}
