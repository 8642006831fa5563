"""Header of a JPEG and of its scans, read without decoding a pixel, in time that is bounded by its size."""

import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from models.decode.exif import orientation_of, xmp_orientation
from models.decode.jpeg_markers import (
    APP0,
    APP1,
    APP14,
    DHT,
    DQT,
    DRI,
    EOI,
    FRAMES,
    SOF0,
    SOF1,
    SOF2,
    SOF3,
    SOI,
    SOS,
    Segment,
    data_end,
    segment_at,
)
from models.errors import DamagedImage, TooCostly, UnsupportedImage

MOST_SCANS = 100  # encoders write 1 to some 20
_SEGMENTS = 256  # and one more for each KiB of the file
_NEVER = 0xFF  # in place of a bit's number: nothing of a coefficient was sent
_ALL_SENT = bytes(64)  # up to the last bit
_CODES = {SOF0, SOF1, SOF2, SOF3}
_KEPT = {DHT, DQT, DRI}
_NO_STEPS = (1,) * 64
_JFIF = b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"
Steps = tuple[int, ...]  # of the 64 coefficients, in the order of the file


class Frame(NamedTuple):
    """What a JPEG's pixels are. components: the number of each one's quantisation table, by its id.

    sampling: its numbers of samples across and down, four bits each.
    """

    kind: int  # its marker
    precision: int
    height: int
    width: int
    components: dict[int, int]
    sampling: bytes

    @property
    def progressive(self) -> bool:
        return self.kind == SOF2


class Scan(NamedTuple):
    """A pass over the pixels: bits of coefficients first ... last of these components."""

    components: bytes
    first: int
    last: int
    before: int  # the bit up to which they have been sent
    after: int


class Part(NamedTuple):
    """A segment that decoding needs, whole; a scan's with its data."""

    marker: int
    whole: memoryview
    scan: Scan | None = None


class Jpeg:
    """A JPEG taken apart. `stream` puts together what decodes to its pixels, and nothing else that the file holds.

    damage: what is wrong behind the first scan, where some of it may yet be decoded. parts: tables, frame and scans in
    their order.
    """

    def __init__(self, data: bytes) -> None:
        """Reads the headers. Raises DamagedImage, UnsupportedImage, TooCostly."""
        self.data = data
        self._view = memoryview(data)
        self.damage: str | None = None
        self.orientation = 1
        self.scans = 0
        self.steps: dict[int, Steps] = {}  # of each component, by its id
        self._tables: dict[int, Steps] = {}
        self._colour: list[bytes] = []  # segments that say which colours the components are
        self.parts: list[Part] = []
        self._frame: Frame | None = None
        self._sent: dict[int, bytearray] = {}  # the bit up to which each of 64 coefficients has been sent
        self._data_bytes = self._data_end = 0
        try:
            self._read()
            self._check_complete()
        except DamagedImage as error:
            if not self.scans:
                raise
            self.damage = error.reason
        self._check_size()

    @property
    def frame(self) -> Frame:
        if self._frame is None:
            raise DamagedImage("jpeg", "it has no frame header")
        return self._frame

    def stream(self) -> bytes:
        return b"".join([b"\xff\xd8", *self._colour, *(part.whole for part in self.parts), b"\xff\xd9"])

    def without_padding(self) -> Iterator["Jpeg"]:
        """Yields the JPEG without zeros behind its last scan, of which the first two may belong to the scan's data."""
        end = self._data_end
        data = self.data[:end].rstrip(b"\0")
        for zeros in range(data.endswith(b"\xff"), min(3, end - len(data))):
            with suppress(DamagedImage):
                yield Jpeg(data + bytes(zeros) + b"\xff\xd9")

    def _read(self) -> None:
        offset = 2
        for _ in range(_SEGMENTS + len(self.data) // 1024):
            segment = segment_at(self.data, offset)
            if segment.marker == EOI:
                return
            offset = self._take(segment)
        raise UnsupportedImage(
            f"The JPEG of {len(self.data):,} bytes has more segments than this service reads, {_SEGMENTS} and one for"
            " each KiB."
        )

    def _take(self, segment: Segment) -> int:
        """Returns the offset of the next segment."""
        marker, body = segment.marker, self.data[segment.parameters : segment.end]
        if marker == SOS:
            return self._take_scan(segment, body)
        if marker in FRAMES:
            self._take_frame(marker, body)
        elif marker == DQT:
            self._tables |= quantisation(body)
        elif marker in (APP0, APP1, APP14):
            self._take_application(segment, body)
        elif marker == SOI:
            raise DamagedImage("jpeg", "a second image begins before its end")
        if marker in _KEPT or marker in FRAMES:
            self.parts.append(Part(marker, self._view[segment.start : segment.end]))
        return segment.end

    def _take_application(self, segment: Segment, body: bytes) -> None:
        if segment.marker == APP0 and body.startswith(b"JFIF\0") and len(body) >= 14:
            self._colour.append(_JFIF)  # of any version
        elif segment.marker == APP14 and body.startswith(b"Adobe") and len(body) >= 12:
            self._colour.append(self.data[segment.start : segment.end])
        elif body.startswith(b"Exif\0\0") and self.orientation == 1:
            self.orientation = orientation_of(body)
        elif body.startswith(b"http://ns.adobe.com/xap/") and self.orientation == 1:
            self.orientation = xmp_orientation(body)

    def _take_frame(self, marker: int, body: bytes) -> None:
        if self._frame:
            raise DamagedImage("jpeg", "it has two frame headers")
        self._frame = frame = read_frame(marker, body)
        self._sent = {component: bytearray([_NEVER]) * 64 for component in frame.components}

    def _take_scan(self, segment: Segment, body: bytes) -> int:
        frame = self.frame
        scan = read_scan(body, frame)
        samples = (frame.width + 31) * (frame.height + 31) * len(frame.components)
        end = data_end(self.data, segment.end, limit=8 * samples + 65536)
        for component in scan.components:
            self._advance(self._sent[component], scan)
            self.steps.setdefault(component, self._tables.get(frame.components[component], _NO_STEPS))
        self.scans += 1
        if self.scans > MOST_SCANS:
            pixels = frame.width * frame.height
            because = f"more than {MOST_SCANS} scans of {frame.width} x {frame.height} pixels"
            raise TooCostly(because, pixel_passes=self.scans * pixels, limit=MOST_SCANS * pixels)
        self.parts.append(Part(SOS, self._view[segment.start : end], scan))
        self._data_bytes += end - segment.end
        self._data_end = end
        return end

    def _advance(self, sent: bytearray, scan: Scan) -> None:
        band = slice(scan.first, scan.last + 1)
        if sent[band].count(scan.before) != scan.last + 1 - scan.first:
            raise DamagedImage("jpeg", "a scan does not go on where the former ones ended")
        sent[band] = bytes([scan.after]) * (scan.last + 1 - scan.first)

    def _check_complete(self) -> None:
        if any(sent != _ALL_SENT for sent in self._sent.values()) or not self.scans:
            raise DamagedImage("jpeg", "scans are missing")

    def _check_size(self) -> None:
        """Raises DamagedImage if the data cannot be those of so many pixels: a block of 8 x 8 takes a bit at least."""
        width, height = self.frame.width, self.frame.height
        if width * height > 64 * 8 * self._data_bytes:
            raise DamagedImage("jpeg", f"{self._data_bytes:,} bytes of data are too few for {width} x {height} pixels")


def read_frame(marker: int, body: bytes) -> Frame:
    """Reads a frame header (SOF). Raises DamagedImage, UnsupportedImage."""
    if marker not in _CODES:
        raise UnsupportedImage(f"The JPEG is of the kind SOF{marker - SOF0}; this service takes those of SOF0 to SOF3.")
    try:
        precision, height, width, count = struct.unpack_from(">BHHB", body)
        components = {body[i]: body[i + 2] for i in range(6, 6 + 3 * count, 3)}
    except (struct.error, IndexError) as error:
        raise DamagedImage("jpeg", "its frame header is incomplete") from error
    if not height:
        raise UnsupportedImage("The JPEG states its height behind its pixels (DNL); this service takes it before them.")
    if not width or count != len(components):
        raise DamagedImage("jpeg", f"it states {width} x {height} pixels of {len(components)} components")
    sampling = body[7 : 6 + 3 * count : 3]
    if any(not 0 < each >> 4 <= 4 or not 0 < each & 15 <= 4 for each in sampling):
        raise DamagedImage("jpeg", "a component has none or too many of its samples")
    return Frame(marker, precision, height, width, components, sampling)


def read_scan(body: bytes, frame: Frame) -> Scan:
    """Reads a scan header (SOS). Raises DamagedImage."""
    count = body[0] if body else 0
    components = body[1 : 1 + 2 * count : 2]
    if len(body) < 4 + 2 * count or not components or not frame.components.keys() >= set(components):
        raise DamagedImage("jpeg", "a scan's header does not fit the frame's")
    first, last, bits = body[1 + 2 * count : 4 + 2 * count]
    if not frame.progressive:
        return Scan(components, 0, 63, _NEVER, 0)
    if not first <= last <= 63:
        raise DamagedImage("jpeg", f"a scan of the coefficients {first} to {last}")
    return Scan(components, first, last, bits >> 4 or _NEVER, bits & 15)


def quantisation(body: bytes) -> dict[int, Steps]:
    """Reads quantisation tables (DQT), by their numbers. Raises DamagedImage."""
    tables, offset = {}, 0
    while offset < len(body):
        of_16_bits = body[offset] >> 4 > 0
        try:
            tables[body[offset] & 15] = struct.unpack_from(">64H" if of_16_bits else ">64B", body, offset + 1)
        except struct.error as error:
            raise DamagedImage("jpeg", "a quantisation table is incomplete") from error
        offset += 1 + 64 * (1 + of_16_bits)
    return tables
