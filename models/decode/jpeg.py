"""JPEG of 8 and 12 bits: baseline, progressive and lossless, with Huffman's codes (ISO/IEC 10918-1)."""

import io

import imagecodecs
import numpy as np
import PIL.Image
import simplejpeg

from models.decode.decoder import Cost, Format, Probe, turned
from models.decode.jpeg_damage import COLOURS, UNKNOWN_SAMPLING, damage_of, reason
from models.decode.jpeg_header import Frame, Jpeg
from models.decode.jpeg_markers import SOF3
from models.errors import DamagedImage, UnsupportedImage
from models.image import Array
from models.source import Source, plane

FORMAT = Format("JPEG", media_types=("image/jpeg",), extensions=(".jpg", ".jpeg"))
# Pillow's own limit only warns; open_source() refuses before a pixel is decoded.
PIL.Image.MAX_IMAGE_PIXELS = None
_SURPLUS = "extraneous bytes before marker 0xd9"  # of libjpeg's warnings
_ERRORS = (ValueError, OSError, RuntimeError)  # of simplejpeg, Pillow and imagecodecs, on data that they cannot decode


def sniff(data: bytes) -> bool:
    return data.startswith(b"\xff\xd8\xff")


def probe(data: bytes) -> Probe:
    jpeg = Jpeg(data)
    frame = jpeg.frame
    _check_kind(frame)
    width, height = turned(frame.width, frame.height, jpeg.orientation)
    channels, dtype = 1 if len(frame.components) == 1 else 3, "uint8" if frame.precision == 8 else "uint16"
    return Probe(FORMAT, width, height, channels, dtype, header=jpeg, cost=cost_of(jpeg))


def _check_kind(frame: Frame) -> None:
    if len(frame.components) not in COLOURS:
        raise UnsupportedImage(f"The JPEG has {len(frame.components)} components; this service takes 1, 3 or 4.")
    if frame.precision != 8 and (frame.precision != 12 or frame.kind == SOF3 or len(frame.components) == 4):
        raise UnsupportedImage(
            f"The JPEG has {frame.precision} bits a sample; this service takes 8, and 12 of what is neither CMYK nor"
            " lossless."
        )


def cost_of(jpeg: Jpeg) -> Cost | None:
    """Returns what a progressive JPEG takes; another one stores each pixel once."""
    frame = jpeg.frame
    if not frame.progressive:
        return None
    because = f"{jpeg.scans} scans of {frame.width} x {frame.height} pixels"
    return Cost(jpeg.scans * frame.width * frame.height, because)


def open(data: bytes, probed: Probe) -> Source:
    source = _open(probed.header)
    if source.damage and source.damage.endswith(_SURPLUS):
        unpadded = map(_open, probed.header.without_padding())
        return next((each for each in unpadded if not each.damage), source)
    return source


def _open(jpeg: Jpeg) -> Source:
    damage = damage_of(jpeg, every_scan=not _is_checked_by_decoding(jpeg))
    try:
        return plane(_pixels(jpeg, strict=damage is None), "jpeg", jpeg.orientation, damage=damage)
    except _ERRORS as error:
        damage = damage or reason(error)
    try:
        return plane(_pixels(jpeg, strict=False), "jpeg", jpeg.orientation, damage=damage)
    except _ERRORS as error:
        raise DamagedImage("jpeg", damage) from error


def _is_checked_by_decoding(jpeg: Jpeg) -> bool:
    return jpeg.frame.precision == 8 and len(jpeg.frame.components) != 4


def _pixels(jpeg: Jpeg, *, strict: bool) -> Array:
    """Decodes to (H, W, C). strict: refuse what libjpeg would go on from. Raises _ERRORS."""
    stream = jpeg.stream()
    if jpeg.frame.precision > 8:
        return np.asarray(imagecodecs.jpeg8_decode(stream))
    try:
        if _is_checked_by_decoding(jpeg):
            return np.asarray(simplejpeg.decode_jpeg(stream, COLOURS[len(jpeg.frame.components)], strict=strict))
    except ValueError as error:
        if UNKNOWN_SAMPLING not in str(error):
            raise
    picture = PIL.Image.open(io.BytesIO(stream), formats=["JPEG"])
    # CMYK is the one JPEG colour model that is no (grey or RGB) intensity; it has 8 bits, so converting loses none.
    return np.asarray(picture.convert("RGB") if picture.mode == "CMYK" else picture)
