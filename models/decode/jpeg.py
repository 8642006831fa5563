"""Baseline and progressive JPEG, 8 bits (ISO/IEC 10918-1)."""

import io

import numpy as np
import PIL.Image

from models.decode.exif import orientation
from models.errors import DamagedImage, TooManyPixels
from models.image import Image, upright, without_alpha

# Pillow's own limit only warns; read() refuses before a pixel is decoded.
PIL.Image.MAX_IMAGE_PIXELS = None


def sniff(data: bytes) -> bool:
    return data.startswith(b"\xff\xd8\xff")


def read(data: bytes, *, max_pixels: int) -> Image:
    """JPEG bytes -> Image of uint8."""
    try:
        picture = PIL.Image.open(io.BytesIO(data), formats=["JPEG"])
        if picture.width * picture.height > max_pixels:
            raise TooManyPixels(width=picture.width, height=picture.height, limit=max_pixels)
        turn = orientation(picture.getexif())
        # CMYK is the one JPEG colour model that is no (grey or RGB) intensity; it has 8 bits, so converting loses none.
        pixels = np.asarray(picture.convert("RGB") if picture.mode == "CMYK" else picture)
    except (OSError, SyntaxError, ValueError) as error:
        raise DamagedImage("jpeg", str(error).rstrip(".")) from error
    return Image(upright(without_alpha(pixels), turn), format="jpeg")
