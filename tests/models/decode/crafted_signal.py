"""Signals that an attacker would send to a model of 4 channels and 1,000 samples: as many bytes as are read at all."""

from models.decode.signal import open_signal
from models.source import Source
from tests.models.decode.handmade_tiff import Maker

CHANNELS, LENGTH, LETTERS = 4, 1000, "acgt"
MOST = 64 * CHANNELS * LENGTH + 1000  # bytes
HONEST = b'"' + b"acgt" * (LENGTH // 4) + b'"'


def opened(data: bytes) -> Source:
    return open_signal(data, channels=CHANNELS, length=LENGTH, letters=LETTERS)


def filled(start: bytes, content: bytes, end: bytes = b"") -> bytes:
    return start + content * ((MOST - len(start + end)) // len(content)) + end


SIGNALS: dict[str, Maker] = {
    "brackets within brackets": lambda: filled(b"", b"["),
    "brackets within brackets that end": lambda: b"[" * (MOST // 2) + b"]" * (MOST // 2),
    "a number of as many digits": lambda: filled(b"[", b"7", b"]"),
    "a fraction of as many digits": lambda: filled(b"[0.", b"7", b"]"),
    "an exponent of as many digits": lambda: filled(b"[1e", b"9", b"]"),
    "one-digit numbers": lambda: filled(b"[7", b",7", b"]"),
    "empty lists": lambda: filled(b"[[]", b",[]", b"]"),
    "spaces before a bracket": lambda: filled(b"", b" ", b"["),
    "spaces without anything": lambda: filled(b"", b" "),
    "letters": lambda: filled(b'"', b"acgt", b'"'),
    "letters that grow in lower case": lambda: filled(b'"', "İ".encode(), b'"'),
    "escapes": lambda: filled(b'"', b"\\u0061", b'"'),
    "an .npy header of spaces": lambda: filled(b"\x93NUMPY\1\0\0\0{'descr': '<f8', 'fortran_order': False, ", b" "),
}
