"""Deflate (RFC 1951) in blocks of a few zeros, each with tables of its own, which take most of the time."""

import struct
import zlib

import numpy as np

_ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1)  # of the codes of lengths
_USED = (1, 18)  # lengths of 1, and runs of unused codes; each has one bit: 0 and 1
_END = "1" + "10" + "0000000"  # the last block, with fixed tables, holds nothing


def _bits(number: int, count: int) -> str:
    return f"{number:0{count}b}"[::-1]


def _run(length: int) -> str:
    return "1" + _bits(length - 11, 7)


def _block(zeros: int) -> str:
    """The codes of the byte 0 and of the block's end have one bit."""
    counts = _bits(0, 5) + _bits(0, 5) + _bits(len(_ORDER) - 4, 4)
    lengths = "".join(_bits(int(code in _USED), 3) for code in _ORDER)
    return "0" + "01" + counts + lengths + "0" + _run(138) + _run(117) + "0" + "0" + "0" * zeros + "1"


def in_blocks_of(zeros: int, nbytes: int) -> bytes:
    """A zlib stream of nbytes zeros or a few more."""
    blocks = -(-nbytes // zeros)
    bits = np.concatenate([np.tile(_array(_block(zeros)), blocks), _array(_END)])
    checksum = zlib.adler32(bytes(blocks * zeros))
    return b"\x78\x01" + np.packbits(bits, bitorder="little").tobytes() + struct.pack(">I", checksum)


def _array(bits: str) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    return np.frombuffer(bits.encode(), np.uint8) - ord("0")
