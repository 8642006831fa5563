"""Segments of a JPEG stream, found without decoding it (ISO/IEC 10918-1, annex B)."""

import re
from typing import NamedTuple

from models.errors import DamagedImage

SOF0, SOF1, SOF2, SOF3 = 0xC0, 0xC1, 0xC2, 0xC3  # baseline, extended, progressive, lossless; with Huffman's codes
DHT, DAC, SOI, EOI, SOS, DQT, DRI = 0xC4, 0xCC, 0xD8, 0xD9, 0xDA, 0xDB, 0xDD
APP0, APP1, APP14 = 0xE0, 0xE1, 0xEE
FRAMES = {*range(0xC0, 0xD0)} - {DHT, 0xC8, DAC}
_BARE = {0x01, *range(0xD0, SOS)}  # TEM, restarts, SOI and EOI: a marker is all there is
_MARKER = re.compile(rb"\xff+[\x01-\xfe]")  # any number of fill bytes may stand before a marker
_DATA_END = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # stuffed zeros and restarts belong to a scan's data


class Segment(NamedTuple):
    """A marker and its parameters; a scan has its data behind them. Offsets are those of the whole stream."""

    marker: int
    start: int  # of the marker
    parameters: int  # where they begin
    end: int  # of the parameters


def segment_at(data: bytes, offset: int) -> Segment:
    """Finds the segment that begins here. Raises DamagedImage."""
    found = _MARKER.match(data, offset)
    if not found:
        raise DamagedImage("jpeg", "its end is missing" if offset >= len(data) - 1 else "no marker where one belongs")
    behind = found.end()
    marker = data[behind - 1]
    if marker in _BARE:
        return Segment(marker, behind - 2, behind, behind)
    end = behind + (data[behind] << 8 | data[behind + 1]) if behind + 2 <= len(data) else 0
    if not behind + 2 <= end <= len(data):
        raise DamagedImage("jpeg", "a segment goes on beyond its end")
    return Segment(marker, behind - 2, behind + 2, end)


def data_end(data: bytes, start: int, *, limit: int) -> int:
    """Returns where a scan's data end, which begin here. limit: of their bytes. Raises DamagedImage."""
    found = _DATA_END.search(data, start, start + limit)
    if found:
        return found.start()
    if len(data) > start + limit:
        raise DamagedImage("jpeg", f"a scan has more than the {limit:,} bytes that its pixels can take")
    return len(data)
