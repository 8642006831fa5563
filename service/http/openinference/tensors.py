"""Tensor data: arrays or files, from JSON or from the bytes after it."""

import binascii
from array import array
from base64 import b64decode
from itertools import chain
from math import prod
from struct import Struct
from typing import Any

import numpy as np

from models.errors import NotFinite
from models.image import Array
from service.http.errors import BadTensor

_LENGTH = Struct("<I")


def numbers(name: str, shape: tuple[int, ...], data: list[Any] | memoryview) -> Array:
    """Returns float32 values of this shape, finite; a view of binary data if its address is a multiple of four.

    data: a list, flat or nested as the shape says, or little-endian bytes. Raises BadTensor, NotFinite.
    """
    values = _from_json(name, shape, data) if isinstance(data, list) else _from_bytes(name, shape, data)
    finite = np.isfinite(values)
    if not finite.all():
        raise NotFinite(int(values.size - np.count_nonzero(finite)))
    return values.reshape(shape)


def files(name: str, count: int, data: list[Any] | memoryview) -> list[bytes]:
    """Returns the bytes of `count` files: base64 in JSON, or each after its length (four bytes, little-endian).

    Raises BadTensor.
    """
    if isinstance(data, memoryview):
        return _cut(name, count, data)
    return [_decoded(name, text) for text in _flat(name, count, data)]


def joined(texts: list[str]) -> bytes:
    """Encodes a BYTES tensor as binary data: each element after its length."""
    encoded = [text.encode() for text in texts]
    return b"".join(chain.from_iterable((_LENGTH.pack(len(each)), each) for each in encoded))


def _from_bytes(name: str, shape: tuple[int, ...], data: memoryview) -> Array:
    if len(data) != 4 * prod(shape):
        raise BadTensor(name, f"FP32 of shape {list(shape)} has {4 * prod(shape):,} bytes, not {len(data):,}")
    values: Array = np.frombuffer(data, "<f4")
    # The JSON before it has any length, and ONNX Runtime does not align arrays.
    return values if values.flags.aligned else values.copy()


def _from_json(name: str, shape: tuple[int, ...], data: list[Any]) -> Array:
    flat = _unnested(name, shape, data)
    if len(flat) != prod(shape):
        raise BadTensor(name, f"its shape {list(shape)} has {prod(shape):,} elements, its data {len(flat):,}")
    try:
        return np.frombuffer(array("f", flat), np.float32)  # numpy would accept "1.5" as a number
    except (TypeError, OverflowError) as error:
        raise BadTensor(name, f"its data must be numbers: {error!s:.100}") from error


def _unnested(name: str, shape: tuple[int, ...], data: list[Any]) -> list[Any]:
    """Checks nested lists against the shape; otherwise channels last would pass for channels first."""
    if not (data and isinstance(data[0], list)):
        return data
    level = [data]
    for length in shape[:-1]:
        if any(not isinstance(part, list) or len(part) != length for part in level):
            raise BadTensor(name, f"its nested data does not have its shape {list(shape)}")
        level = list(chain.from_iterable(level))
    if any(not isinstance(part, list) or len(part) != shape[-1] for part in level):
        raise BadTensor(name, f"its nested data does not have its shape {list(shape)}")
    return list(chain.from_iterable(level))


def _flat(name: str, count: int, data: list[Any]) -> list[Any]:
    """Flattens [["a"], ["b"]] to ["a", "b"]; refuses too many elements before any is decoded."""
    flat = list(chain.from_iterable(part if isinstance(part, list) else [part] for part in data))
    if len(flat) != count:
        raise BadTensor(name, f"its shape says {count:,} elements, its data holds {len(flat):,}")
    return flat


def _decoded(name: str, text: object) -> bytes:
    if not isinstance(text, str):
        raise BadTensor(name, "in JSON each element is a file in base64, as a string")
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadTensor(name, f"in JSON each element is a file in base64: {error!s:.100}") from error


def _cut(name: str, count: int, data: memoryview) -> list[bytes]:
    """Yields exactly `count` elements, each after its length."""
    found: list[bytes] = []
    at = 0
    for _ in range(count):
        begin = at + _LENGTH.size
        if begin > len(data):
            raise BadTensor(name, f"its data ends within the length of element {len(found)} of {count}")
        (length,) = _LENGTH.unpack_from(data, at)
        at = begin + length
        if at > len(data):
            raise BadTensor(name, f"its data ends within element {len(found)}, of {length:,} bytes")
        found.append(bytes(data[begin:at]))
    if at < len(data):
        raise BadTensor(name, f"its shape says {count:,} elements, and {len(data) - at:,} bytes follow them")
    return found
