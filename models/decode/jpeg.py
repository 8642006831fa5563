"""Baseline and progressive JPEG, 8 bits (ISO/IEC 10918-1)."""

import io
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import PIL.Image

from models.decode.decoder import Format, Probe, turned
from models.decode.exif import orientation_of
from models.errors import DamagedImage
from models.source import Source, plane

FORMAT = Format("JPEG", media_types=("image/jpeg",), extensions=(".jpg", ".jpeg"))
# Pillow's own limit only warns; open_source() refuses before a pixel is decoded.
PIL.Image.MAX_IMAGE_PIXELS = None


def sniff(data: bytes) -> bool:
    return data.startswith(b"\xff\xd8\xff")


def probe(data: bytes) -> Probe:
    with _damage():
        picture = PIL.Image.open(io.BytesIO(data), formats=["JPEG"])
        orientation = orientation_of(picture.getexif())
    width, height = turned(*picture.size, orientation)
    return Probe(FORMAT, width, height, 1 if picture.mode == "L" else 3, "uint8", header=(picture, orientation))


def open(data: bytes, probed: Probe) -> Source:
    picture, orientation = probed.header
    with _damage():
        # CMYK is the one JPEG colour model that is no (grey or RGB) intensity; it has 8 bits, so converting loses none.
        pixels = np.asarray(picture.convert("RGB") if picture.mode == "CMYK" else picture)
    return plane(pixels, "jpeg", orientation)


@contextmanager
def _damage() -> Iterator[None]:
    try:
        yield
    except (OSError, SyntaxError, ValueError) as error:
        raise DamagedImage("jpeg", str(error).rstrip(".")) from error
