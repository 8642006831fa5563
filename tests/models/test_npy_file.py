"""Tests of NumPy's file format: what numpy writes is read back; a header is never evaluated nor believed."""

import io
from typing import Any

import numpy as np
import pytest

from models.npy_file import parse_npy


def saved(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(3, dtype=">u2"),
        np.zeros((0, 5), np.int8),
        np.array(7, np.int64),
        np.zeros((1,) * 32, np.uint8),
        np.array([0.5, 2], np.float16),
        np.array([True, False]),
    ],
)
def test_what_numpy_writes_is_read_back(array: Any) -> None:
    read = parse_npy(saved(array))
    np.testing.assert_array_equal(read, array)
    assert (read.dtype, read.shape) == (array.dtype, array.shape)
    assert read.flags.writeable


def with_header(text: bytes, content: bytes = b"") -> bytes:
    return b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text + content


def header(shape: bytes, dtype: bytes = b"'<f4'") -> bytes:
    return b"{'descr': %s, 'fortran_order': False, 'shape': %s, }\n" % (dtype, shape)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "begins with"),
        (b"PK\3\4", "begins with 50 4b"),
        (b"\x93NUMPY\3\0" + bytes(100), "begins with"),
        (b"\x93NUMPY\1\0", "header ends at byte 10 of 8"),
        (with_header(b"-" * 4000), "does not describe"),
        (with_header(b" " * 5000), "4,096 are allowed"),
        (with_header(header(b"(4, 4)"), bytes(63)), r"needs 64 bytes; there are 63"),
        (with_header(header(b"(4, 4)"), bytes(65)), r"needs 64 bytes; there are 65"),
        (with_header(header(b"(999999999999999, 999999999999999, 999999999999999)")), "there are 0"),
        (with_header(header(b"(" + b"1" * 3000 + b"x)")), "does not describe"),  # at once, however it might be split
        (with_header(header(b"(" + b"1, " * 30 + b" " * 2000 + b"x)")), "does not describe"),
        (with_header(header(b"(" + b"1, " * 40 + b")"), bytes(4)), "does not describe"),
        (with_header(header(b"(-1, -4)"), bytes(16)), "does not describe"),
        (with_header(header(b"(1,)", b"[('a', '<f4')]"), bytes(4)), "does not describe"),
        (with_header(header(b"(__import__('os').getpid(),)"), bytes(4)), "does not describe"),
        (with_header(header(b"(1,)", b"'|O'")), "does not describe"),
        (saved(np.array(["text"])), "does not describe"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_npy(content)
