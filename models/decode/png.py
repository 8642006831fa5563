"""PNG of 1 to 16 bits, grey, colour or palette (ISO/IEC 15948)."""

import logging
import struct
import zlib
from collections.abc import Iterator

import imagecodecs

from models.decode.decoder import Cost, Format, Probe, Refusing, check_cost, most_deflated, refusal, turned
from models.decode.exif import orientation_of
from models.errors import DamagedImage, ImageError, TooCostly
from models.source import Source, plane

# imagecodecs logs libpng's warnings, which may quote the file.
logging.getLogger("imagecodecs").disabled = True

FORMAT = Format("PNG", media_types=("image/png",), extensions=(".png",))
SIGNATURE = b"\x89PNG\r\n\x1a\n"
_REFUSING = Refusing("png")
_FIRST = len(SIGNATURE)
_COLOUR = {2, 3, 6}  # RGB, palette, RGB with alpha
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_CHUNK = struct.Struct(">I4s")  # length, type
_HEADER = struct.Struct(">I4sIIBBBBB")  # length, type, width, height, bits, colour type, and 0, 0, interlaced
_BEHIND_HEADER = _FIRST + 25
_FIRST_TYPE = slice(_BEHIND_HEADER + 4, _BEHIND_HEADER + 8)
_COARSEST = 20_000  # pixels a metre: a screen's resolution (above 50 um a pixel) says nothing of the specimen
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_CHUNKS = 1024  # of any file; a larger one may have a chunk for each 256 bytes
_BYTES_A_CHUNK = 256
_SMALL = 4096  # bytes; at the most that Deflate can do they become 4 MB
_PADDING = 4096  # bytes that some encoders leave behind the last row
_PIXELS_A_ROW = 64  # that a row takes as long as, however few it has
_NARROW = 16
_LONGEST = 2**30  # bytes in a chunk


def sniff(data: bytes) -> bool:
    return data.startswith(SIGNATURE)


def probe(data: bytes) -> Probe:
    """Reads the chunks before the pixels. Fewer than 8 bits a sample become uint8, as the standard says."""
    if len(data) < _BEHIND_HEADER:
        raise DamagedImage("png", "its header is incomplete")
    length, kind, width, height, bits, colour, *_ = _HEADER.unpack_from(data, _FIRST)
    orientation, spacing_um = (1, None) if data[_FIRST_TYPE] == b"IDAT" else _described(data)
    if kind != b"IHDR" or length != 13 or colour not in _SAMPLES:
        raise DamagedImage("png", "it does not begin with its header")
    if height > _NARROW * width:
        check_cost(Cost(_PIXELS_A_ROW * height, f"{height:,} rows of {width} pixels"), pixels=width * height)
    if orientation != 1:
        width, height = turned(width, height, orientation)
    channels, dtype = 3 if colour in _COLOUR else 1, "uint16" if bits == 16 else "uint8"
    return Probe(FORMAT, width, height, channels, dtype, 1, None, (orientation, spacing_um))


def open(data: bytes, probed: Probe) -> Source:
    orientation, spacing_um = probed.header
    try:  # a context manager would be one more file on the path of each small image
        # Pillow would cut 16-bit colour to 8 bits.
        pixels = imagecodecs.png_decode(data if len(data) <= _SMALL else _inflated(data))
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        raise refusal("png", error) from error
    return plane(pixels, "png", orientation, spacing_um)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yields type, start and end of the content of each chunk behind the header. Raises TooCostly."""
    offset, most = _BEHIND_HEADER, _CHUNKS + len(data) // _BYTES_A_CHUNK
    for _ in range(most):
        if offset >= len(data):
            return
        length, kind = _CHUNK.unpack_from(data, offset)
        yield kind, offset + 8, offset + 8 + length
        offset += length + 12
    raise TooCostly(
        f"more than {most:,} chunks in {len(data):,} bytes", pixel_passes=most * _BYTES_A_CHUNK, limit=len(data)
    )


def _described(data: bytes) -> tuple[int, tuple[float, float] | None]:
    """Reads the orientation and a pixel's height and width from the chunks before the pixels."""
    described = {}
    with _REFUSING:
        for kind, start, end in _chunks(data):
            if kind == b"IDAT":
                break
            described[kind] = _content(data, start, end)
        return _orientation(described), _spacing_um(described)


def _content(data: bytes, start: int, end: int) -> bytes:
    """Returns what a chunk holds. Raises DamagedImage."""
    if zlib.crc32(data[start - 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
        raise DamagedImage("png", "CRC error in a chunk")  # libpng lets those pass that it need not understand
    return data[start:end]


def _inflated(data: bytes) -> bytes:
    """Returns the same image with its rows inflated and without texts and profiles.

    libpng would inflate those too, and the stream to its end, however far it goes on behind the last row; libdeflate
    stops at the size that it is given, and is faster.
    """
    chunks, parts = [data[:_BEHIND_HEADER]], []
    for kind, start, end in _chunks(data):
        if kind == b"IDAT":
            parts.append(_content(data, start, end))
        elif parts or kind == b"IEND":
            break
        elif kind in (b"PLTE", b"tRNS"):
            chunks.append(data[start - 8 : end + 4])
        elif kind[:1].isupper():
            raise DamagedImage("png", "it needs a chunk that the standard does not know")
    compressed, size = b"".join(parts), _stream_bytes(data)
    if len(compressed) > size + _PADDING:
        _check_length(len(compressed), size)
    stream = bytes(imagecodecs.deflate_encode(_rows(compressed, size), 0))
    for start in range(0, len(stream), _LONGEST):
        chunks += _idat(stream[start : start + _LONGEST])
    return b"".join(chunks)


def _check_length(compressed: int, size: int) -> None:
    limit = most_deflated(size) + _PADDING
    if compressed > limit:
        raise TooCostly(f"{compressed:,} bytes for {size:,} of pixels", pixel_passes=compressed, limit=limit)


def _rows(stream: bytes, size: int) -> bytes:
    try:
        rows = bytes(imagecodecs.deflate_decode(stream, out=size + _PADDING))
    except imagecodecs.DeflateError as error:
        raise DamagedImage("png", f"its pixels do not inflate to the {size:,} bytes of its rows") from error
    return rows[:size]


def _idat(content: bytes) -> tuple[bytes, ...]:
    checksum = imagecodecs.deflate_crc32(content, imagecodecs.deflate_crc32(b"IDAT"))
    return _CHUNK.pack(len(content), b"IDAT"), content, checksum.to_bytes(4, "big")


def _stream_bytes(data: bytes) -> int:
    """Returns how many bytes the rows take inflated, each with the number of its filter in front."""
    _, _, width, height, bits, colour, _, _, interlaced = _HEADER.unpack_from(data, _FIRST)
    bits_a_pixel: int = bits * _SAMPLES[colour]
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    sizes = (((width - x + dx - 1) // dx, (height - y + dy - 1) // dy) for x, y, dx, dy in passes)
    return sum(rows * (1 + (columns * bits_a_pixel + 7) // 8) for columns, rows in sizes if columns > 0 and rows > 0)


def _orientation(described: dict[bytes, bytes]) -> int:
    return orientation_of(described[b"eXIf"]) if b"eXIf" in described else 1


def _spacing_um(described: dict[bytes, bytes]) -> tuple[float, float] | None:
    """Reads a pixel's height and width from pHYs: pixels per metre along X and Y, or only their ratio."""
    if b"pHYs" not in described:
        return None
    x, y, unit = struct.unpack(">IIB", described[b"pHYs"])
    return (1e6 / y, 1e6 / x) if unit == 1 and min(x, y) > _COARSEST else None
