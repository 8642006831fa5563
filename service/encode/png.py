"""A PNG writer for what the service sends: fast rather than small, and exact (ISO/IEC 15948)."""

import struct
import zlib

import numpy as np
from isal import isal_zlib

from models.image import Array

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPE = {1: 0, 3: 2}  # channels -> grey, truecolour
_UP = 2  # the filter type: each row minus the one above


def png(pixels: Array) -> bytes:
    """(H, W) or (H, W, 3) uint8, or (H, W) uint16 -> PNG bytes.

    The Up filter and isal's level 1 make it some 30 times as fast as Pillow's defaults, which would dominate a request.
    """
    if pixels.dtype.kind != "u" or pixels.itemsize > 2:
        raise TypeError(f"a PNG holds uint8 or uint16, not {pixels.dtype}")
    height, width = pixels.shape[:2]
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    header = struct.pack(">IIBBBBB", width, height, 8 * pixels.itemsize, _COLOUR_TYPE[channels], 0, 0, 0)
    data = isal_zlib.compress(_filtered(pixels).tobytes(), 1)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _filtered(pixels: Array) -> Array:
    """(H, W[, C]) -> (H, 1 + bytes a row) uint8: a row's filter type, then its big-endian bytes minus those above."""
    big_endian = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder(">"))
    rows = big_endian.reshape(len(pixels), -1).view(np.uint8)  # (H, bytes a row)
    filtered = np.empty((rows.shape[0], rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = _UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])  # modulo 256, as the standard wants
    return filtered


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))
