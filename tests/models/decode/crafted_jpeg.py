"""JPEGs that a hostile sender would craft to cost much or to fool a count, built from their segments."""

import struct

SOI, EOI = b"\xff\xd8", b"\xff\xd9"
BASELINE, PROGRESSIVE, LOSSLESS, ARITHMETIC = 0xC0, 0xC2, 0xC3, 0xC9


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def frame(width: int, height: int, *, kind: int = BASELINE, bits: int = 8, components: int = 1) -> bytes:
    each = b"".join(bytes([number, 0x11, 0]) for number in range(1, components + 1))
    return segment(kind, struct.pack(">BHHB", bits, height, width, components) + each)


def scan(data: bytes, *, first: int = 0, last: int = 63, before: int = 0, after: int = 0, components: int = 1) -> bytes:
    each = b"".join(bytes([number, 0]) for number in range(1, components + 1))
    header = bytes([components]) + each + bytes([first, last, before << 4 | after])
    return segment(0xDA, header) + data


QUANTISATION = segment(0xDB, b"\0" + bytes([16] * 64))
_RUN = 14 << 4  # the code of a run of 2^14 blocks that end
CODES = segment(0xC4, b"\x00\x01" + bytes(15) + b"\0") + segment(0xC4, b"\x10\x01" + bytes(15) + b"\0")
RUNS = segment(0xC4, b"\x10\x01" + bytes(15) + bytes([_RUN]))  # one code alone: 0, then 14 bits of the run
HEAD = SOI + QUANTISATION + CODES


def grey(width: int, height: int, *, between: bytes = b"", behind: bytes = b"") -> bytes:
    """A grey image, each block of which takes two bits, with other bytes before the frame, or behind the data."""
    blocks = -(-width // 8) * -(-height // 8)
    return HEAD + between + frame(width, height) + scan(zeros(2 * blocks)) + behind + EOI


def progressive(width: int, height: int, scans: int, *, bits: int = 1, repeat: int = 0) -> bytes:
    """A grey image in 1 + scans * bits scans: so many bands of coefficients, bit by bit. The last one repeats."""
    blocks = -(-width // 8) * -(-height // 8)
    runs = _ones_after_zero(15 * -(-blocks // 2**15))
    starts = range(1, scans + 1)
    ac = [
        scan(runs, first=first, last=first if first < scans else 63, before=bit + 1 if bit < bits - 1 else 0, after=bit)
        for bit in reversed(range(bits))
        for first in starts
    ]
    head = SOI + QUANTISATION + CODES + RUNS + frame(width, height, kind=PROGRESSIVE)
    return head + scan(zeros(blocks), last=0) + b"".join(ac) + ac[-1] * repeat + EOI


def zeros(bits: int) -> bytes:
    """The code 0 so many times, and ones up to the next byte."""
    whole, rest = divmod(bits, 8)
    return bytes(whole) + (bytes([0xFF >> rest]) if rest else b"")


def coded(blocks: int, *, dc: int, ac: int, block: str, other: int = 0) -> bytes:
    """A grey row of blocks, each of these bits.

    dc, ac: the symbols of the code 0, of means and other coefficients. other: that of the code 10, of the latter.
    """
    means = segment(0xC4, b"\x00\1" + bytes(15) + bytes([dc]))
    others = segment(0xC4, b"\x10\1\1" + bytes(14) + bytes([ac, other]))
    bits = block * blocks
    bits += "1" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    return SOI + QUANTISATION + means + others + frame(8 * blocks, 8) + scan(data) + EOI


def _ones_after_zero(bits: int) -> bytes:
    """Runs of blocks that end, each as long as a run can be: the code 0 and 14 ones."""
    one = "0" + "1" * 14
    text = one * (bits // 15)
    text += "1" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\0")


def _exif(entries: int) -> bytes:
    other = struct.pack("<HHII", 305, 3, 1, 0)
    return segment(0xE1, b"Exif\0\0II*\0" + struct.pack("<IH", 8, 0xFFFF) + other * entries)


def _restarts(side: int) -> bytes:
    """A restart behind each block."""
    blocks = (side // 8) ** 2
    data = b"".join(b"\x3f\xff" + bytes([0xD0 + index % 8]) for index in range(blocks - 1)) + b"\x3f"
    return HEAD + segment(0xDD, b"\0\1") + frame(side, side) + scan(data) + EOI


SMALL = grey(64, 64)

# A name, the file, and the sides of an honest JPEG that may take a tenth of the time.
CRAFTED = {
    "the last scan 1,000 times": (progressive(256, 256, 9, repeat=1000), 256),
    "the last scan 12,000 times": (progressive(256, 256, 9, repeat=12_000), 256),
    "as many scans as are read": (progressive(512, 512, 33, bits=3), 512),
    "more scans than are read": (progressive(512, 512, 34, bits=3), 512),
    "all scans that the standard allows": (progressive(512, 512, 63, bits=13), 512),
    "5 MB of fill bytes before the first marker": (SOI + b"\xff" * 5_000_000 + SMALL[2:], 64),
    "5 MB of fill bytes before the frame": (grey(64, 64, between=b"\xff" * 5_000_000), 64),
    "5 MB of fill bytes before its end": (grey(64, 64, behind=b"\xff" * 5_000_000), 64),
    "5 MB of fill bytes in a large image": (grey(1024, 1024, behind=b"\xff" * 5_000_000), 1024),
    "4 MB of stuffed bytes in its data": (grey(64, 64, behind=b"\xff\0" * 2_000_000), 64),
    "1,000,000 restarts in its data": (grey(64, 64, behind=b"\xff\xd0" * 1_000_000), 64),
    "1,000,000 restarts before the frame": (grey(64, 64, between=b"\xff\xd0" * 1_000_000), 64),
    "a restart a block": (_restarts(512), 512),
    "380 bytes of 7000 x 7000": (grey(64, 64).replace(frame(64, 64), frame(7000, 7000)), 64),
    "380 bytes of 7000 x 7000, progressive": (
        progressive(64, 64, 9).replace(frame(64, 64, kind=PROGRESSIVE), frame(7000, 7000, kind=PROGRESSIVE)),
        64,
    ),
    "no height, which a DNL segment states": (
        HEAD + frame(64, 0) + scan(zeros(128)) + segment(0xDC, b"\0\x40") + EOI,
        64,
    ),
    "two frames": (grey(64, 64, between=frame(8, 8)), 64),
    "1,000 frames": (grey(64, 64, between=frame(64, 64) * 1000), 64),
    "1,000 images in one": (SOI + SMALL * 1000, 64),
    "100,000 empty application segments": (grey(64, 64, between=segment(0xE5, b"") * 100_000), 64),
    "200 comments of 64 KB": (grey(64, 64, between=segment(0xFE, bytes(65_000)) * 200), 64),
    "200 XMP packets of 64 KB": (
        grey(64, 64, between=segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + b"tiff:Orientation" * 4000) * 200),
        64,
    ),
    "10,000 Huffman tables": (grey(64, 64, between=CODES * 5000), 64),
    "5,000 quantisation tables": (grey(64, 64, between=QUANTISATION * 5000), 64),
    "90,000 quantisation tables in few segments": (
        grey(64, 64, between=segment(0xDB, QUANTISATION[4:] * 1000) * 90),
        64,
    ),
    "10,000 restart intervals": (grey(64, 64, between=segment(0xDD, b"\0\0") * 10_000), 64),
    "EXIF of 5,000 entries": (grey(64, 64, between=_exif(5000)), 64),
    "100 EXIF segments of 5,000 entries": (grey(64, 64, between=_exif(5000) * 100), 64),
    "EXIF that holds a JPEG": (grey(64, 64, between=segment(0xE1, b"Exif\0\0" + SMALL * 50)), 64),
    "255 components": (SOI + frame(64, 64, components=255) + scan(b"\0" * 64, components=4) + EOI, 64),
    "a sequential scan twice": (grey(512, 512, behind=scan(zeros(2 * 64**2)) * 50), 512),
    "arithmetic codes": (grey(64, 64).replace(frame(64, 64), frame(64, 64, kind=ARITHMETIC)), 64),
    "scan markers in a comment": (grey(64, 64, between=segment(0xFE, b"\xff\xda\0\x08" * 16_000)), 64),
}
