"""Probes: what a header says is what decoding gives, and no pixel is decoded for it."""

import struct
import zlib

import numpy as np
import PIL.Image
import pytest

from models.decode import DECODERS, FORMATS, open_source, probe, recognised
from models.decode.decoder import Format, listed
from models.decode.signal import SIGNAL_FORMATS, open_signal
from models.errors import DamagedImage, NotAnImage, NotASignal, TooManyPixels, UnsupportedImage
from models.source import image_of
from tests.models.decode.files import FILES, noise, pillow, png, tiff

MORE = {
    "1-bit png": pillow(PIL.Image.fromarray(noise(9, 11)).convert("1"), "PNG"),
    "grey png with alpha": png(noise(9, 11, 2)),
    "16-bit png with alpha": png(noise(9, 11, 4, dtype=np.uint16)),
    "palette png with transparency": pillow(
        PIL.Image.fromarray(noise(9, 11, 3)).quantize(16), "PNG", transparency=bytes(range(16))
    ),
    "rotated colour jpeg": pillow(noise(24, 16, 3), "JPEG", orientation=6),
    "rotated grey png": pillow(noise(24, 16), "PNG", orientation=8),
    "bilevel tiff": tiff(noise(9, 11) > 127, photometric="minisblack"),
    "grey tiff with alpha": tiff(noise(9, 11, 2), extrasamples=["unassalpha"], planarconfig="contig"),
    "colour tiff, plane by plane": tiff(noise(3, 9, 11), photometric="rgb", planarconfig="separate"),
    "pyramid": tiff(noise(32, 32, 3), tile=(16, 16)),
}


@pytest.mark.parametrize("name", FILES | MORE)
def test_the_header_says_what_decoding_gives(name: str) -> None:
    data = (FILES | MORE)[name]
    found = probe(data)
    source = open_source(data, max_pixels=10_000)
    image = image_of(source)
    assert (found.height, found.width, found.channels) == image.pixels.shape
    assert (found.dtype, found.axes) == (str(image.pixels.dtype), source.axes)
    assert found.format.name.lower() == source.format
    assert found.pixels == image.height * image.width
    assert found.pages == (3 if name == "OME-TIFF" else 1)
    again = recognised(data).open(data, found)
    np.testing.assert_array_equal(again.read(), source.read())


def test_a_vast_image_is_measured_without_its_pixels() -> None:
    header = struct.pack(">IIBBBBB", 40_000, 50_000, 8, 2, 0, 0, 0)
    vast = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in ((b"IHDR", header), (b"IDAT", b""))
    )
    found = probe(vast)
    assert (found.width, found.height, found.channels, found.dtype) == (40_000, 50_000, 3, "uint8")
    with pytest.raises(TooManyPixels) as caught:
        open_source(vast, max_pixels=1_000_000)
    error = caught.value
    assert (error.width, error.height, error.pixels, error.limit) == (40_000, 50_000, 2 * 10**9, 10**6)


def test_a_tile_larger_than_the_image_counts() -> None:
    data = tiff(noise(9, 11), tile=(64, 64))
    assert (probe(data).pixels, probe(data).block) == (99, (64, 64))
    with pytest.raises(TooManyPixels, match="64 x 64"):
        open_source(data, max_pixels=4000)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", NotAnImage),
        (b"GIF89a", NotAnImage),
        (png(noise(9, 11))[:20], DamagedImage),
        (png(noise(9, 11)).replace(b"IHDR", b"IHDX"), DamagedImage),
        (pillow(noise(9, 11), "JPEG")[:30], DamagedImage),
        (tiff(noise(9, 11))[:12], DamagedImage),
        (tiff(noise(5, 9, 11), photometric="minisblack"), UnsupportedImage),
        (tiff(noise(9, 11), compression="jpeg2000"), UnsupportedImage),
    ],
)
def test_what_cannot_be_opened_is_refused_by_its_header(data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        probe(data)


def test_every_list_of_formats_derives_from_the_decoders() -> None:
    assert [decoder.FORMAT for decoder in DECODERS] == list(FORMATS)
    assert [(each.name, each.media_types, each.extensions) for each in FORMATS] == [
        ("PNG", ("image/png",), (".png",)),
        ("JPEG", ("image/jpeg",), (".jpg", ".jpeg")),
        ("TIFF", ("image/tiff",), (".tif", ".tiff")),
    ]
    with pytest.raises(NotAnImage, match="Supported image formats: PNG, JPEG and TIFF"):
        probe(b"GIF89a")
    with pytest.raises(NotASignal, match="an array as NPY or JSON"):
        open_signal(b"GIF89a", channels=1, length=1)
    assert [each.name for each in SIGNAL_FORMATS] == ["NPY", "JSON"]
    assert listed((Format("A", (), ()),)) == "A"
