"""Bytes -> Image, a file a format. Training reads its images here too, so that both sides see the same pixels."""

from dataclasses import dataclass
from typing import Protocol

from models.decode import jpeg, png, tiff
from models.errors import NotAnImage, TooManyPixels
from models.image import Image


class Decoder(Protocol):
    """A module that knows one file format."""

    def sniff(self, data: bytes) -> bool: ...

    def read(self, data: bytes, *, max_pixels: int) -> Image: ...


DECODERS: tuple[Decoder, ...] = (png, jpeg, tiff)  # the first whose sniff() recognises the leading bytes reads the file


def decode(data: bytes, *, max_pixels: int) -> Image:
    """Any image file -> Image. Its size is checked against max_pixels before a pixel is decoded.

    Raises NotAnImage, DamagedImage, UnsupportedImage, TooManyPixels.
    """
    for decoder in DECODERS:
        if decoder.sniff(data):
            return decoder.read(data, max_pixels=max_pixels)
    raise NotAnImage(leading_bytes=data[:8])


@dataclass(frozen=True, slots=True)
class Probe:
    """What a file's header says of its image."""

    width: int
    height: int


def probe(data: bytes) -> Probe:
    """Reads the size of any image file from its header."""
    try:
        decode(data, max_pixels=0)
    except TooManyPixels as error:
        return Probe(error.width, error.height)
    raise AssertionError("no image has 0 pixels")
