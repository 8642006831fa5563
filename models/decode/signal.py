"""Signals and sequences as .npy or JSON arrays -> Source with the axes CX.

A picture is resized to what a network takes; a signal is not, since nothing in it says how long a sample lasts. So its
decoders need the model's channels and length, and stand in a tuple of their own.
"""

import math
import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import orjson

from models.decode.decoder import Format, Refusing, listed
from models.errors import BadSignal, NotASignal
from models.image import Array
from models.source import ArraySource, Source

_MAGIC = b"\x93NUMPY"
_NPY = re.compile(
    re.escape(_MAGIC) + rb"\x01\x00..\{'descr': '(?P<dtype>[<>|](?:b1|[iu][1248]|f[248]))', "
    rb"'fortran_order': (?P<fortran>True|False), 'shape': \((?P<shape>\d{1,9},|\d{1,9}, \d{1,9},?)\),? ?\} *\n",
    re.DOTALL,
)
_REFUSING = Refusing("signal")
_MAX_HEADER = 1000  # bytes; NumPy writes 128
_MAX_BYTES_A_VALUE = 64  # a float64 in JSON takes 25, and may be indented


class _Expected(NamedTuple):
    """What the model takes. letters: of a sequence, one a channel."""

    channels: int
    length: int
    letters: str


def open_signal(data: bytes, *, channels: int, length: int, letters: str = "") -> Source:
    """Opens an array (channels, length), or (length,) of one channel, as a source of CX.

    letters: those of a sequence, one a channel; it may be sent as a JSON string, in either case. Raises NotASignal,
    BadSignal.
    """
    if len(data) > _MAX_BYTES_A_VALUE * channels * length + _MAX_HEADER:
        raise BadSignal(f"{len(data):,} bytes are more than {channels} x {length} values can take")
    decoder = next((decoder for decoder in SIGNAL_DECODERS if decoder.sniff(data)), None)
    if decoder is None:
        raise NotASignal(data[:8], formats=listed(SIGNAL_FORMATS, last="or"))
    with _REFUSING:
        values = decoder.read(data, _Expected(channels, length, letters))
    if values.shape not in {(channels, length), (length,) if channels == 1 else ()}:
        takes = f"({channels}, {length})" + (f" or ({length},)" if channels == 1 else "")
        raise BadSignal(f"its shape is {values.shape}; this model takes {takes}")
    return ArraySource(values.reshape(channels, length), "CX", format=decoder.format.name.lower())


def one_hot(sequence: str, letters: str) -> Array:
    """Encodes a sequence of L letters, in either case, as (letters, L) uint8. Raises BadSignal."""
    for place, letter in enumerate(sequence.lower(), start=1):
        if letter not in letters:
            raise BadSignal(
                f"place {place} holds {letter!r}; this model knows the letters {', '.join(letters) or 'none'}"
            )
    hot: Array = np.array(list(letters))[:, None] == np.array(list(sequence.lower()))
    return hot.astype(np.uint8)


def _npy(data: bytes, _: _Expected) -> Array:
    """Reads an array of one or two axes. The header is Python source: it is matched, not evaluated."""
    found = _NPY.match(data)
    if not found:
        raise BadSignal("its .npy header is not that of a plain array of numbers with one or two axes")
    dtype = np.dtype(found["dtype"].decode())
    shape = tuple(int(side) for side in found["shape"].split(b",") if side.strip())
    body = data[found.end() :]
    if len(body) != dtype.itemsize * math.prod(shape):
        raise BadSignal(f"its .npy header says {shape} {dtype}, but {len(body):,} bytes follow")
    values = np.frombuffer(body, dtype).astype(dtype.newbyteorder("="))
    return values.reshape(shape, order="F" if found["fortran"] == b"True" else "C")


def _json(data: bytes, expected: _Expected) -> Array:
    if (lists := data.count(b"[")) > expected.channels + 1:  # a list takes as long as 30 numbers
        raise BadSignal(f"it has {lists:,} lists; this model takes one for each of {expected.channels:,} channels")
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise BadSignal(f"it is not JSON: {error!s:.100}") from error
    if isinstance(value, str):
        if len(value) > expected.length:
            raise BadSignal(f"it has {len(value):,} letters; this model takes {expected.length:,}")
        return one_hot(value, expected.letters)
    rows = value if value and isinstance(value[0], list) else [value]
    if not all(map(_numbers, rows)) or len({len(row) for row in rows}) != 1:
        raise BadSignal("its JSON is neither a list of numbers nor a list of such lists, all of one length")
    return np.array(rows if rows is value else value, dtype=np.float64)


def _numbers(row: object) -> bool:
    return isinstance(row, list) and all(type(number) in (int, float) for number in row)


class SignalDecoder(NamedTuple):
    """A format of signals. read: takes the bytes and what the model takes."""

    format: Format
    sniff: Callable[[bytes], bool]
    read: Callable[[bytes, _Expected], Array]


SIGNAL_DECODERS = (  # the first whose sniff() recognises the leading bytes reads the signal
    SignalDecoder(
        Format("NPY", ("application/x-npy", "application/octet-stream"), (".npy",)),
        sniff=lambda data: data.startswith(_MAGIC),
        read=_npy,
    ),
    SignalDecoder(
        Format("JSON", ("application/json",), (".json",)),
        sniff=lambda data: data.lstrip()[:1] in (b"[", b'"'),
        read=_json,
    ),
)
SIGNAL_FORMATS = tuple(decoder.format for decoder in SIGNAL_DECODERS)
