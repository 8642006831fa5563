"""Bodies of the protocol: compression, and JSON followed by the bytes of tensors."""

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import orjson
from isal import isal_zlib

from service.errors import TooManyBytes
from service.http.errors import MalformedRequest, UnsupportedEncoding
from service.http.openinference.body_threads import INLINE_BYTES
from service.scheduling.memory_budget import SMALL_BYTES

JSON_LENGTH = "Inference-Header-Content-Length"
_MAX_NUMBERS, _MAX_LISTS = 2**20, 2**16  # in JSON: more would block the event loop, and take far more memory
_MARK_BYTES = 32  # of an object in memory for each comma or quotation mark: a number has one of them, a string three
_WIDEST = 4  # bytes that each character of a string takes where one is beyond the basic plane
_PIECE_BYTES = 2**20  # that a body grows by before memory is reserved again
_PACKED_BYTES = 2**16  # decompressed at a time: zlib copies the rest of it for each piece
_FORMATS = {"gzip": 31, "deflate": 15}  # zlib's wbits; "deflate" is the zlib format (RFC 9110, 8.4.1.2)


def plain(
    body: bytes | bytearray, encoding: str, *, max_bytes: int, reserve: Callable[[int], None]
) -> bytes | bytearray:
    """Decompresses a body, to at most max_bytes. reserve: called before each further piece of so many bytes.

    Raises UnsupportedEncoding, MalformedRequest, TooManyBytes, and what reserve raises.
    """
    if encoding in ("", "identity"):
        return body
    if encoding not in _FORMATS:
        raise UnsupportedEncoding(encoding, allowed=_FORMATS)
    content, room = bytearray(), 0
    pieces = _inflated(body, _FORMATS[encoding])
    try:
        while True:
            if room < len(content) + _PIECE_BYTES:
                reserve(_PIECE_BYTES)
                room += _PIECE_BYTES
            if not (piece := next(pieces, b"")):
                return content
            content += piece
            if len(content) > max_bytes:
                raise TooManyBytes(max_bytes)
    except (zlib.error, EOFError) as error:
        raise MalformedRequest(f"The body is not in the Content-Encoding {encoding!r}: {error}.") from error


def plain_if_small(
    body: bytes | bytearray, encoding: str, *, max_bytes: int, reserve: Callable[[int], None]
) -> bytes | bytearray | None:
    """Decompresses a body as `plain` does, but returns None if it has more than SMALL_BYTES, or than max_bytes.

    Memory is reserved when its size is known: for one thread at a time. Raises MalformedRequest, UnsupportedEncoding.
    """
    try:
        content = plain(body, encoding, max_bytes=min(max_bytes, SMALL_BYTES), reserve=_no_reservation)
    except TooManyBytes:  # raised to a future, it would keep what has been decompressed
        return None
    reserve(len(content))
    return content


def _no_reservation(_: int) -> None:
    pass


def _inflated(body: bytes | bytearray, wbits: int) -> Iterator[bytes]:
    """Yields pieces of at most _PIECE_BYTES. Raises zlib.error, EOFError."""
    inflater = zlib.decompressobj(wbits)
    for start in range(0, len(body), _PACKED_BYTES):
        packed = body[start : start + _PACKED_BYTES]
        while packed:
            if inflater.eof:
                raise EOFError("something follows the stream")
            if piece := inflater.decompress(packed, _PIECE_BYTES):
                yield piece
            packed = inflater.unconsumed_tail + inflater.unused_data
    if not inflater.eof:
        raise EOFError("the stream is cut short")


def split(
    body: bytes | bytearray, json_length: str | None, *, reserve: Callable[[int], None]
) -> tuple[dict[str, Any], memoryview]:
    """Splits a body into its JSON object and the bytes after it. json_length: the header, in uncompressed bytes.

    reserve: called with the bytes that the objects of a large JSON take. Raises MalformedRequest, and what it raises.
    """
    length = len(body)
    if json_length is not None:
        if not (json_length.isascii() and json_length.isdecimal() and len(json_length) <= 12):
            raise MalformedRequest(f"{JSON_LENGTH} is {json_length[:100]!r}, which is no number of bytes.")
        length = int(json_length)
    if length > len(body):
        raise MalformedRequest(f"{JSON_LENGTH} is {length:,}, but the body has {len(body):,} bytes.")
    if (
        body.count(b",", 0, length) >= _MAX_NUMBERS
        or sum(body.count(each, 0, length) for each in (b"[", b"{")) > _MAX_LISTS
    ):
        raise MalformedRequest(
            f"The JSON holds more than {_MAX_NUMBERS:,} values, or {_MAX_LISTS:,} lists; send tensors as binary data."
        )
    if length > INLINE_BYTES:
        reserve(_parsed_bytes(body, length))
    whole = memoryview(body)
    return _json_object(whole[:length]), whole[length:]


def _parsed_bytes(body: bytes | bytearray, length: int) -> int:
    """Returns about the bytes that the objects of so much JSON take."""
    is_ascii = np.frombuffer(body, np.uint8, length).max() < 128 and body.find(rb"\u", 0, length) == -1
    marks = sum(body.count(each, 0, length) for each in (b",", b'"'))
    return length * (1 if is_ascii else _WIDEST) + _MARK_BYTES * marks


def compressed(body: bytes, encoding: str) -> bytes:
    """Compresses a body. encoding: as returned by `accepted`."""
    deflater = isal_zlib.compressobj(1, isal_zlib.DEFLATED, _FORMATS[encoding])
    packed: bytes = deflater.compress(body) + deflater.flush()
    return packed


def accepted(accept_encoding: str) -> str:
    """Returns the compression for an Accept-Encoding header: "gzip", "deflate" or "" for none."""
    wanted = set(_wanted(accept_encoding.lower().split(",")))
    return next((encoding for encoding in _FORMATS if encoding in wanted), "")


def _wanted(codings: Iterable[str]) -> Iterable[str]:
    for coding in codings:
        name, _, weight = coding.partition(";")
        if weight.strip().rstrip("0.") != "q=":  # q=0 refuses it
            yield name.strip()


def _json_object(text: memoryview) -> dict[str, Any]:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise MalformedRequest(f"The request is not JSON: {error!s:.200}.") from error
    if not isinstance(found, dict):
        raise MalformedRequest("The request is no JSON object.")
    return found
