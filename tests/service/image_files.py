"""Images as the bytes of a file, and the multipart form that carries them."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import PIL.Image
import tifffile

from models.image import Array
from service.encode.png_writer import png

Part = tuple[str, tuple[str, bytes]]
HALVES = np.zeros((8, 8), np.uint8)  # bright above, dark below
HALVES[:4] = 255
BLOBS = np.zeros((10, 13), np.uint8)  # two cores joined by a bridge: two objects of 4 x 5 pixels that touch
BLOBS[2:6, 1:11] = 150
BLOBS[3:5, 2:4] = BLOBS[3:5, 8:10] = 250


def npy_values(content: bytes) -> Array:
    """The array in a .npy file."""
    return np.load(io.BytesIO(content))


def grey(value: int, *, height: int = 8, width: int = 8) -> bytes:
    """A PNG of one 8-bit intensity."""
    return png(np.full((height, width), value, np.uint8))


def tiff(pixels: Array, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def jpeg(pixels: Array, **options: Any) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "JPEG", **options)
    return file.getvalue()


def png_claiming(width: int, height: int, *, pixel_data: bytes = b"") -> bytes:
    """A PNG whose header says width x height, 8-bit grey, whatever the pixel data is."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(pixel_data)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def form(*images: bytes, name: str = "scan.png") -> list[Part]:
    return [("image", (name, image)) for image in images]
