"""Damage inside a JPEG's data: warnings that libjpeg would go on from, and brightness that no encoder writes.

Huffman's codes fall into step again soon after a broken byte. What is left of the damage is a few blocks of random
coefficients, whose samples often lead far out of the range of 8 bits, and an offset of all later means (DC
coefficients), each of which is stored as the difference from the former; it often leads out of their range.
"""

import simplejpeg

from models.decode.jpeg_header import Jpeg
from models.decode.jpeg_markers import DHT, DQT, SOF3
from models.decode.jpeg_planes import Smaller, leaves_range, smaller

_PLAIN = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0"  # the components as they are stored, not turned from YCbCr to RGB
_BLANK = bytes(128)  # five blocks of 63 coefficients at least
COLOURS = {1: "GRAY", 3: "RGB", 4: "CMYK"}
UNKNOWN_SAMPLING = "Could not determine subsampling level"  # simplejpeg, of some files that are sound


def damage_of(jpeg: Jpeg, *, every_scan: bool = True) -> str | None:
    """Returns what is damaged; None if nothing is known of. every_scan: also of those that hold no means."""
    if jpeg.damage:
        return jpeg.damage
    colours = COLOURS.get(len(jpeg.frame.components))
    if colours is None:
        return None
    if jpeg.frame.kind == SOF3:
        return _lossless_damage_of(jpeg, colours) if every_scan and jpeg.frame.precision == 8 else None
    size = smaller(jpeg)
    factor = size.planes.factor
    height, width = (-(-length // factor) for length in (size.height, size.width))
    try:
        stream = _stream_of(jpeg, size, every_scan)
        # With the fast transform, a level would be wrong by more than 1/2.
        pixels = simplejpeg.decode_jpeg(stream, colours, False, True, height, width, float(factor))
    except ValueError as error:
        return _reason_of_sound(error)
    if _has_blank_data(jpeg):
        return "a part of its data is zeros"
    judged = jpeg.frame.precision == 8 and leaves_range(pixels, size.planes)
    return "its brightness leaves the range of 8 bits" if judged else None


def reason(error: Exception) -> str:
    """Returns the words of libjpeg's error or warning."""
    return str(error).removeprefix("Corrupt JPEG data: ").rstrip(".")


def _reason_of_sound(error: Exception) -> str | None:
    return None if UNKNOWN_SAMPLING in str(error) else reason(error)


def _lossless_damage_of(jpeg: Jpeg, colours: str) -> str | None:
    try:  # never smaller: simplejpeg would write beyond the end of the smaller image
        simplejpeg.decode_jpeg(jpeg.stream(), colours)
    except ValueError as error:
        return _reason_of_sound(error)
    return None


def _stream_of(jpeg: Jpeg, size: Smaller, every_scan: bool) -> bytes:
    """Returns the JPEG of this size, 8 bits and these tables; without every_scan, of the means alone."""
    parts: list[bytes | memoryview] = [b"\xff\xd8", _PLAIN if len(size.planes.each) == 3 else b"", size.planes.tables]
    for marker, whole, scan in jpeg.parts:
        if marker == jpeg.frame.kind:
            parts.append(_frame_header(whole, size))
        elif marker != DQT and (scan is None or scan.first == 0 or every_scan):
            parts.append(whole)
    return b"".join([*parts, b"\xff\xd9"])


def _frame_header(whole: memoryview, size: Smaller) -> bytes:
    header = bytearray(whole)
    header[4] = 8  # all precisions have the same codes
    header[5:9] = size.height.to_bytes(2, "big") + size.width.to_bytes(2, "big")
    header[12::3] = bytes(range(len(size.planes.each)))
    return bytes(header)


def _has_blank_data(jpeg: Jpeg) -> bool:
    """Returns whether a sequential scan holds zeros that stand for no image, such as those of a sector that was lost.

    The code 0... is that of a block's end in flat images. Where it is another, the zeros are blocks of 63 equal
    coefficients, one after the other.
    """
    first: dict[int, int] = {}  # symbol of each table of AC codes
    if jpeg.frame.progressive or _BLANK not in jpeg.data:
        return False
    for marker, whole, scan in jpeg.parts:
        if marker == DHT:
            first |= first_symbols(bytes(whole[4:]))
        elif scan:
            tables = whole[6 : 5 + 2 * len(scan.components) : 2]
            data = bytes(whole).rstrip(b"\0")  # zeros behind the data may be padding
            if any(first.get(table & 15) for table in tables) and _BLANK in data:
                return True
    return False


def first_symbols(body: bytes) -> dict[int, int]:
    """Reads the symbol of the code 0... from tables of AC codes (DHT), by the table's number."""
    symbols, offset = {}, 0
    while offset + 17 < len(body):
        if body[offset] >> 4:
            symbols[body[offset] & 15] = body[offset + 17]
        offset += 17 + sum(body[offset + 1 : offset + 17])
    return symbols
