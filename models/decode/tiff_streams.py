"""Block structure of the Zstandard and XZ streams in a TIFF's strips and tiles.

Both formats allow any number of streams behind each other and of blocks in a stream, each of which costs the decoder
microseconds and the file a few bytes. Writers of TIFF make one stream, with a block for each 64 KB or more.
"""

import math

import tifffile

from models.errors import DamagedImage, TooCostly

_BYTES_A_BLOCK = 4096  # of pixels, that a block takes as long as
_BLOCKS = 4  # that any stream may have
_ZSTD_SIZES = ((0, 1), (2, 2), (4, 4), (8, 8))  # of the content's size: by its flag, and whether it is one segment
_ZSTD_DICTIONARY = (0, 1, 2, 4)
_XZ_CHECKS = {0: 0, 1: 4, 4: 8, 10: 32}  # bytes by kind: none, CRC32, CRC64, SHA-256
_XZ_MAGIC = b"\xfd7zXZ\0"
_REST = 64  # bytes behind the last block: a checksum or an index of one block


def check_streams(page: tifffile.TiffPage, data: bytes) -> None:
    """Refuses strips and tiles of several streams or many blocks. Raises TooCostly, DamagedImage."""
    walk = _WALKS.get(page.compression)
    if not walk:
        return
    most = _BLOCKS + page.dtype.itemsize * math.prod(page.chunks) // _BYTES_A_BLOCK
    for offset, length in zip(page.dataoffsets, page.databytecounts):
        stream = data[offset : offset + length]
        if stream and len(stream) - walk(stream, most) > _REST:  # one that is left out is filled with zeros
            raise _too_many("several streams", len(stream), most)


def _zstd_end(stream: bytes, most: int) -> int:
    """Returns where the first frame's blocks end (RFC 8878)."""
    descriptor = stream[4]
    one_segment = descriptor >> 5 & 1
    offset = 6 - one_segment + _ZSTD_DICTIONARY[descriptor & 3] + _ZSTD_SIZES[descriptor >> 6][one_segment]
    for _ in range(most):
        header = int.from_bytes(stream[offset : offset + 3], "little")
        offset += 3 + (1 if header >> 1 & 3 == 1 else header >> 3)  # a run is one byte
        if header & 1:
            return offset
    raise _too_many(f"more than {most:,} blocks", len(stream), most)


def _xz_end(stream: bytes, most: int) -> int:
    """Returns where the first stream's first block ends, whose last filter is always LZMA2."""
    if not stream.startswith(_XZ_MAGIC):
        raise DamagedImage("tiff", "what should be XZ is not")
    offset = 12 + 4 * (stream[12] + 1)
    for _ in range(most):
        control = stream[offset]
        if control == 0:
            return (offset + 4) // 4 * 4 + _XZ_CHECKS[stream[7]]
        if control < 0x80:
            offset += 4 + int.from_bytes(stream[offset + 1 : offset + 3], "big")
        else:
            offset += 6 + (control >= 0xC0) + int.from_bytes(stream[offset + 3 : offset + 5], "big")
    raise _too_many(f"more than {most:,} blocks", len(stream), most)


def _too_many(what: str, length: int, most: int) -> TooCostly:
    limit = _BYTES_A_BLOCK * most
    return TooCostly(f"{what} in a strip or tile of {length:,} bytes", pixel_passes=limit + length, limit=limit)


_WALKS = {tifffile.COMPRESSION.ZSTD: _zstd_end, tifffile.COMPRESSION.LZMA: _xz_end}
