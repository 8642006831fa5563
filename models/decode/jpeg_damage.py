"""Damage inside a JPEG's data: warnings that libjpeg would go on from, and means that no encoder writes.

Huffman's codes fall into step again soon after a broken byte. What is left of the damage is an offset of all later
means (DC coefficients), each of which is stored as the difference from the former; it often leads out of their range.
"""

from collections.abc import Iterator

import simplejpeg

from models.decode.jpeg_header import Jpeg, dc_steps
from models.decode.jpeg_markers import DHT, DQT, SOF3
from models.image import Array

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
    lossless = jpeg.frame.kind == SOF3
    if lossless and not (every_scan and jpeg.frame.precision == 8):
        return None
    try:
        if lossless:  # never at an eighth: simplejpeg would write beyond the end of the smaller image
            simplejpeg.decode_jpeg(jpeg.stream(), colours)
            return None
        # The eighth of the size is the means of blocks of 8 x 8 pixels: (H / 8, W / 8, C) uint8.
        means = simplejpeg.decode_jpeg(means_alone(jpeg, every_scan), colours, True, True, 1, 1, 8.0)
    except ValueError as error:
        return None if UNKNOWN_SAMPLING in str(error) else reason(error)
    if _has_blank_data(jpeg):
        return "a part of its data is zeros"
    judged = jpeg.frame.precision == 8 and any(_out_of_range(jpeg, means))
    return "its brightness leaves the range of 8 bits" if judged else None


def reason(error: Exception) -> str:
    """Returns the words of libjpeg's error or warning."""
    return str(error).removeprefix("Corrupt JPEG data: ").rstrip(".")


def _out_of_range(jpeg: Jpeg, means: Array) -> Iterator[bool]:
    components = means.reshape(-1, means.shape[2]).T.copy()  # (C, blocks), each of which is faster to go through
    for component, darkest, brightest in zip(jpeg.frame.components, components.min(axis=1), components.max(axis=1)):
        step = jpeg.dc_steps[component]
        furthest = max(128 - int(darkest), int(brightest) - 128)
        # The mean is rounded to 8 / seen_step(step); an encoder may round a mean of 128 up by one step.
        yield (8 * furthest - 4) * step > (1024 + step) * seen_step(step)


def _has_blank_data(jpeg: Jpeg) -> bool:
    """Returns whether a sequential scan holds zeros that stand for no image, such as those of a sector that was lost.

    The code 0... is that of a block's end in flat images. Where it is another, the zeros are blocks of 63 equal
    coefficients, one after the other.
    """
    first: dict[int, int] = {}  # symbol of each table of AC codes
    if jpeg.frame.progressive:
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


def seen_step(step: int) -> int:
    """Returns the step with which the least mean that is out of range is just seen as such in 8 bits; 1 is coarsest."""
    return max(1, min(255, (1012 * step - 1) // (1024 + step)))


def means_alone(jpeg: Jpeg, every_scan: bool) -> bytes:
    """Returns the JPEG with all coefficients but the means quantised to 0; without every_scan, of the means alone."""
    parts: list[bytes | memoryview] = [b"\xff\xd8", _PLAIN if len(jpeg.frame.components) == 3 else b""]
    for marker, whole, scan in jpeg.parts:
        if marker == DQT:
            parts += [_table(number, seen_step(step)) for number, step in dc_steps(bytes(whole[4:])).items()]
        elif marker == jpeg.frame.kind:
            parts += [whole[:4], b"\x08", whole[5:]]  # other precisions have the same codes
        elif scan is None or scan.first == 0 or every_scan:
            parts.append(whole)
    return b"".join([*parts, b"\xff\xd9"])


def _table(number: int, step: int) -> bytes:
    return b"\xff\xdb\0\x43" + bytes([number, step]) + bytes(63)
