"""Decoders: bytes -> Source, a file a format. Training reads its images here too, so that both see the same pixels."""

from models.decode import jpeg, png, tiff
from models.decode.decoder import Decoder, Format, Probe, listed
from models.errors import NotAnImage, TooManyPixels
from models.source import Image, Source, image_of

__all__ = ["DECODERS", "FORMATS", "Decoder", "Format", "Probe", "decode", "listed", "open_source", "probe"]

DECODERS: tuple[Decoder, ...] = (png, jpeg, tiff)  # the first whose sniff() recognises the leading bytes opens the file
FORMATS: tuple[Format, ...] = tuple(decoder.FORMAT for decoder in DECODERS)


def recognised(data: bytes) -> Decoder:
    """Returns the decoder of these bytes. Raises NotAnImage."""
    for decoder in DECODERS:
        if decoder.sniff(data):
            return decoder
    raise NotAnImage(data[:8], formats=listed(FORMATS))


def probe(data: bytes) -> Probe:
    """Reads what an image file's header says of its size. Raises NotAnImage, DamagedImage, UnsupportedImage."""
    return recognised(data).probe(data)


def open_source(data: bytes, *, max_pixels: int, probed: Probe | None = None) -> Source:
    """Opens any image file; its size is checked before a pixel is decoded.

    probed: the probe of these bytes, if the caller has it. Raises NotAnImage, DamagedImage, UnsupportedImage,
    TooManyPixels.
    """
    decoder = recognised(data)
    found = decoder.probe(data) if probed is None else probed
    if found.width * found.height > max_pixels:
        raise TooManyPixels(width=found.width, height=found.height, limit=max_pixels)
    if found.block and found.block[0] * found.block[1] > max_pixels:
        raise TooManyPixels(width=found.block[0], height=found.block[1], limit=max_pixels)
    return decoder.open(data, found)


def decode(data: bytes, *, max_pixels: int) -> Image:
    """Decodes any image file into an Image. Raises the same errors as open_source."""
    return image_of(open_source(data, max_pixels=max_pixels))
