"""Decoders: bytes -> Source, a file a format. Training reads its images here too, so that both see the same pixels."""

from models.decode import jpeg, png, tiff
from models.decode.decoder import PASSES, Cost, Decoder, Format, Probe, listed
from models.errors import DamagedImage, NotAnImage, TooCostly, TooManyPixels
from models.source import Image, Source, image_of

__all__ = [
    "DECODERS",
    "FORMATS",
    "Cost",
    "Decoder",
    "Format",
    "Probe",
    "check",
    "check_size",
    "decode",
    "listed",
    "open_source",
    "passes",
    "probe",
    "recognised",
]

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


def check_size(*sizes: tuple[int, int] | None, max_pixels: int) -> None:
    """Raises TooManyPixels if an image, or a block that is decoded in one piece, is too large. sizes: width, height."""
    for width, height in filter(None, sizes):
        if width * height > max_pixels:
            raise TooManyPixels(width=width, height=height, limit=max_pixels)


def passes(probed: Probe) -> int:
    """Returns the pixels that decoding goes through, each as often as it does."""
    return probed.cost.pixel_passes if probed.cost else probed.width * probed.height


def check(probed: Probe, *, max_pixels: int) -> None:
    """Refuses a file by its header, before it is decoded. Raises TooManyPixels, TooCostly."""
    check_size((probed.width, probed.height), probed.block, max_pixels=max_pixels)
    if probed.cost and probed.cost.pixel_passes > PASSES * max_pixels:
        raise TooCostly(probed.cost.because, pixel_passes=probed.cost.pixel_passes, limit=PASSES * max_pixels)


def open_source(data: bytes, *, max_pixels: int) -> Source:
    """Opens any image file; its size is checked before a pixel is decoded.

    Raises NotAnImage, DamagedImage, UnsupportedImage, TooManyPixels, TooCostly.
    """
    decoder = recognised(data)
    probed = decoder.probe(data)
    check(probed, max_pixels=max_pixels)
    source = decoder.open(data, probed)
    if source.damage:
        raise DamagedImage(source.format, source.damage)
    return source


def decode(data: bytes, *, max_pixels: int) -> Image:
    """Decodes any image file into an Image. Raises the same errors as open_source."""
    return image_of(open_source(data, max_pixels=max_pixels))
