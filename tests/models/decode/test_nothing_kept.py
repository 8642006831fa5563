"""Nothing of a file is left once it has been decoded or refused, though no garbage is collected."""

import gc
import tracemalloc
from collections.abc import Iterator

import numpy as np
import PIL.Image
import pytest

from models.decode import check, recognised
from models.errors import ImageError
from models.source import image_of
from tests.models.decode.crafted_png import chunk
from tests.models.decode.files import noise, pillow, png, tiff

SIDE, SMALL = 300, 10_000
GREY, COLOUR = noise(SIDE, SIDE), noise(SIDE, SIDE, 3)
TEXT = "x" * SIDE * SIDE
MOST_PIXELS = SIDE * SIDE


def broken(data: bytes) -> bytes:
    """Returns the file with other bytes in its middle."""
    middle = len(data) // 2
    return data[:middle] + b"\xff" * SMALL + data[middle + SMALL :]


def with_chunk(data: bytes, kind: bytes, content: bytes, *, sound: bool = True) -> bytes:
    """Returns the PNG with a chunk behind its header."""
    added = chunk(kind, content)
    return data[:33] + (added if sound else added[:-4] + b"none") + data[33:]


FILES = {  # the file, and the last step that it comes to: probe, check, open, read
    "grey png": (png(GREY), "read"),
    "png with a text": (with_chunk(png(GREY), b"tEXt", TEXT.encode()), "read"),
    "turned png": (pillow(GREY, "PNG", orientation=6), "read"),
    "png with a broken text": (with_chunk(png(GREY), b"tEXt", TEXT.encode(), sound=False), "probe"),
    "png that is cut short": (png(GREY)[:-SMALL], "open"),
    "large png": (png(noise(SIDE, SIDE + 1)), "check"),
    "jpeg": (pillow(GREY, "JPEG", quality=95), "read"),
    "progressive jpeg": (pillow(COLOUR, "JPEG", progressive=True), "read"),
    "CMYK jpeg": (pillow(PIL.Image.fromarray(noise(SIDE, SIDE, 4), "CMYK"), "JPEG"), "read"),
    "broken jpeg": (broken(pillow(GREY, "JPEG", quality=95)), "read"),
    "CMYK jpeg that is cut short": (
        pillow(PIL.Image.fromarray(noise(SIDE, SIDE, 4), "CMYK"), "JPEG")[:-SMALL],
        "read",
    ),
    "jpeg without a header": (b"\xff\xd8\xff" + bytes(SIDE * SIDE), "probe"),
    "large jpeg": (pillow(noise(SIDE, SIDE + 1), "JPEG"), "check"),
    "tiff": (tiff(GREY), "read"),
    "tiff with a description": (tiff(GREY, description=TEXT, compression="zlib"), "read"),
    "float tiff": (tiff(noise(SIDE, SIDE, dtype=np.float32), compression="zlib", predictor=True), "read"),
    "palette tiff": (tiff(GREY, photometric="palette", colormap=noise(3, 256, dtype=np.uint16)), "read"),
    "OME-TIFF": (tiff(noise(3, SIDE, SIDE), ome=True, metadata={"axes": "CYX"}), "read"),
    "ImageJ tiff": (tiff(GREY, imagej=True, metadata={"unit": "um"}), "read"),
    "JPEG in tiff": (tiff(noise(288, 288, 3), compression="jpeg", tile=(96, 96)), "read"),
    "LZW tiff": (tiff(GREY, compression="lzw"), "read"),
    "broken zlib tiff": (broken(tiff(GREY, compression="zlib")), "open"),
    "tiff that is cut short": (tiff(GREY)[:-SMALL], "open"),
    "tiff without pages": (b"II*\0" + bytes(SIDE * SIDE), "probe"),
    "tiff of a stack": (tiff(noise(5, SIDE, SIDE), photometric="minisblack", description=TEXT), "probe"),
    "tiff in JPEG XL": (tiff(GREY, compression="jpegxl"), "probe"),
    "large tiff": (tiff(noise(SIDE, SIDE + 1)), "check"),
    "no image": (b"GIF89a" + bytes(SIDE * SIDE), ""),
}


def last_step(sent: bytes) -> str:
    """Decodes a copy of the file; returns the step that was the last."""
    data, step = bytes(bytearray(sent)), ""
    try:
        decoder = recognised(data)
        step = "probe"
        probed = decoder.probe(data)
        step = "check"
        check(probed, max_pixels=MOST_PIXELS)
        step = "open"
        source = decoder.open(data, probed)
        step = "read"
        image_of(source)
    except ImageError:
        pass
    return step


@pytest.fixture
def allocated() -> Iterator[None]:
    gc.collect()
    gc.disable()
    tracemalloc.start()
    yield
    tracemalloc.stop()
    gc.enable()


@pytest.mark.usefixtures("allocated")
@pytest.mark.parametrize("name", FILES)
def test_nothing_is_kept_of_a_file(name: str) -> None:
    sent, expected = FILES[name]
    assert last_step(sent) == expected  # and what is made once for all files is made
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(3):
        last_step(sent)
    assert tracemalloc.get_traced_memory()[0] - before < 3 * SMALL
