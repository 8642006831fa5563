"""Arrays in NumPy's file format (.npy), checked against the file's size before anything is allocated."""

import math
import re

import numpy as np

from models.image import Array

_MAX_HEADER_BYTES = 4096
_MAGIC = b"\x93NUMPY\x01\x00"  # version 1, which holds every header that fits into the limit
# numpy.lib.format evaluates the header as a Python expression, whose nesting would be the stranger's choice.
_HEADER = re.compile(
    r"\{\s*'descr':\s*'(?P<dtype>[<>|=]?[fiub][1248])',"
    r"\s*'fortran_order':\s*(?P<order>True|False),"
    r"\s*'shape':\s*\((?P<shape>\s*(\d{1,18}\s*(,\s*\d{1,18}\s*){0,31},?\s*)?)\),?\s*\}\s*"
)


def parse_npy(content: bytes) -> Array:
    """Reads an array of numbers. Raises ValueError."""
    header, begin = _header(content)
    dtype, shape = np.dtype(header["dtype"]), tuple(map(int, re.findall(r"\d+", header["shape"])))
    count = math.prod(shape)
    if len(content) - begin != count * dtype.itemsize:
        raise ValueError(f"{shape} {dtype} needs {count * dtype.itemsize:,} bytes; there are {len(content) - begin:,}")
    order = "F" if header["order"] == "True" else "C"
    return np.frombuffer(content, dtype, count, begin).reshape(shape, order=order).copy()  # type: ignore[call-overload, no-any-return]


def _header(content: bytes) -> tuple[re.Match[str], int]:
    """Returns the header, and where the data begin."""
    if not content.startswith(_MAGIC):
        raise ValueError(f"it begins with {content[:8].hex(' ')}")
    begin = len(_MAGIC) + 2
    end = begin + int.from_bytes(content[len(_MAGIC) : begin], "little")
    if end > min(len(content), _MAX_HEADER_BYTES):
        raise ValueError(f"its header ends at byte {end:,} of {len(content):,}; {_MAX_HEADER_BYTES:,} are allowed")
    if not (header := _HEADER.fullmatch(content[begin:end].decode("latin-1"))):
        raise ValueError("its header does not describe an array of numbers")
    return header, end
