"""EXIF orientation, the one tag that changes what a person sees (JEITA CP-3451)."""

import re
import struct

ORIENTATION = 274
_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_NUMBERS = {1: "B", 3: "H", 4: "I"}  # the types that a whole number may have
_ENTRIES = 1000  # of which a camera writes some dozen
_XMP = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')


def orientation_of(exif: bytes) -> int:
    """Returns 1 ... 8 from an EXIF block (a TIFF header and its first directory); 1 (upright) where it says nothing."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = _ORDERS.get(exif[:4])
    try:
        return _find(exif, order) if order else 1
    except struct.error:  # the block is cut short
        return 1


def xmp_orientation(xmp: bytes) -> int:
    """Returns 1 ... 8 from an XMP packet; 1 (upright) where it says nothing."""
    found = _XMP.search(xmp)
    return int(found[1]) if found else 1


def _find(exif: bytes, order: str) -> int:
    (first,) = struct.unpack_from(f"{order}I", exif, 4)
    (count,) = struct.unpack_from(f"{order}H", exif, first)
    for entry in range(first + 2, first + 2 + 12 * min(count, _ENTRIES), 12):
        tag, kind, values = struct.unpack_from(f"{order}HHI", exif, entry)
        if tag == ORIENTATION:
            return _number(exif, entry + 8, f"{order}{_NUMBERS[kind]}") if values == 1 and kind in _NUMBERS else 1
    return 1


def _number(exif: bytes, offset: int, layout: str) -> int:
    (value,) = struct.unpack_from(layout, exif, offset)
    return int(value) if 1 <= value <= 8 else 1
