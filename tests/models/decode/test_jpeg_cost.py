"""A crafted JPEG takes at most ten times what an honest one of as many pixels or bytes takes, decoded or refused."""

import time
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from models.decode import decode, passes, probe
from models.errors import DamagedImage, ImageError, TooCostly, UnsupportedImage
from models.source import Image
from tests.models.decode.crafted_jpeg import CRAFTED, frame, grey, progressive, segment
from tests.models.decode.files import noise, pillow

RATIO = 10
REFUSED = {
    "the last scan 1,000 times": DamagedImage,
    "the last scan 12,000 times": DamagedImage,
    "more scans than are read": TooCostly,
    "all scans that the standard allows": TooCostly,
    "5 MB of fill bytes before its end": DamagedImage,
    "4 MB of stuffed bytes in its data": DamagedImage,
    "1,000,000 restarts in its data": DamagedImage,
    "1,000,000 restarts before the frame": UnsupportedImage,
    "380 bytes of 7000 x 7000": DamagedImage,
    "380 bytes of 7000 x 7000, progressive": DamagedImage,
    "no height, which a DNL segment states": UnsupportedImage,
    "two frames": DamagedImage,
    "1,000 frames": DamagedImage,
    "1,000 images in one": DamagedImage,
    "100,000 empty application segments": UnsupportedImage,
    "10,000 Huffman tables": UnsupportedImage,
    "5,000 quantisation tables": UnsupportedImage,
    "10,000 restart intervals": UnsupportedImage,
    "255 components": UnsupportedImage,
    "a sequential scan twice": DamagedImage,
    "arithmetic codes": UnsupportedImage,
}


def seconds(call: Callable[[], object]) -> float:
    """The least processor time of a few calls."""
    times = []
    for _ in range(4):
        start = time.thread_time()
        call()
        times.append(time.thread_time() - start)
    return min(times)


def decode_or_refuse(data: bytes) -> Image | ImageError:
    try:
        return decode(data, max_pixels=2_000_000)
    except ImageError as error:
        return error


@cache
def honest_seconds(side: int, is_progressive: bool) -> float:
    """What a picture takes that has some detail everywhere."""
    slope = np.add.outer(np.arange(side), np.arange(side)) * 160 // (2 * side)
    data = pillow((slope + noise(side, side) // 16).astype(np.uint8), "JPEG", progressive=is_progressive)
    return seconds(lambda: decode(data, max_pixels=2_000_000))


@cache
def honest_seconds_a_byte() -> float:
    data = pillow(noise(512, 512), "JPEG", quality=90)
    return seconds(lambda: decode(data, max_pixels=2_000_000)) / len(data)


@pytest.mark.parametrize("name", CRAFTED)
def test_no_crafted_file_takes_much_longer_than_an_honest_one(name: str) -> None:
    data, side = CRAFTED[name]
    found = decode_or_refuse(data)
    assert type(found) is REFUSED.get(name, Image), found
    honest = max(honest_seconds(side, b"\xff\xc2" in data), len(data) * honest_seconds_a_byte())
    assert seconds(lambda: decode_or_refuse(data)) < RATIO * honest


def test_the_cost_is_scans_times_pixels() -> None:
    cost = probe(progressive(64, 48, 20)).cost
    assert cost == (21 * 64 * 48, "21 scans of 64 x 48 pixels")
    assert probe(grey(64, 48)).cost is None
    with pytest.raises(TooCostly, match=r"21 scans of 64 x 48 pixels: .* 64,512 pixels do; .* at most 49,152"):
        decode(progressive(64, 48, 20), max_pixels=64 * 48)
    with pytest.raises(TooCostly, match="more than 100 scans of 64 x 48 pixels"):
        probe(progressive(64, 48, 50, bits=2))


def test_markers_in_a_comment_are_no_scans() -> None:
    data = progressive(64, 48, 20).replace(frame(64, 48), segment(0xFE, b"\xff\xda" * 1000) + frame(64, 48))
    assert passes(probe(data)) == 21 * 64 * 48


def test_a_header_takes_time_as_the_file_has_bytes() -> None:
    short, long = (pillow(noise(side, side), "JPEG", quality=95) for side in (256, 1024))
    assert seconds(lambda: probe(long)) < 3 * len(long) / len(short) * seconds(lambda: probe(short))
