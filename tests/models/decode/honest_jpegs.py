"""Sound JPEGs that are hard to tell from damaged ones: extreme pictures, in every way that three encoders have."""

from collections.abc import Callable, Iterator
from typing import Any

import imagecodecs
import numpy as np
import PIL.Image
import PIL.ImageDraw
import simplejpeg

from models.image import Array
from tests.models.decode.files import pillow

Random = np.random.Generator
SAMPLINGS = ("444", "422", "420", "440", "411")


def _noise(random: Random, height: int, width: int) -> Array:
    return random.integers(0, 256, (height, width, 3), np.uint8)


def _extremes(random: Random, height: int, width: int) -> Array:
    side = int(random.integers(1, 10))
    return np.kron(random.integers(0, 2, (height, width, 3), np.uint8) * 255, np.ones((side, side, 1), np.uint8))[
        :height, :width
    ]


def _flat(random: Random, height: int, width: int) -> Array:
    return np.full((height, width, 3), random.choice([0, 1, 127, 254, 255], 3), np.uint8)


def _waves(random: Random, height: int, width: int) -> Array:
    """The signs of a basis function, which make its coefficient as large as any."""
    down, across = (np.cos((np.arange(length) + 0.5) * np.pi * random.integers(8) / 8) for length in (height, width))
    return np.repeat((np.outer(down, across) > 0)[:, :, None] * np.uint8(255), 3, axis=2)


def _text(random: Random, height: int, width: int) -> Array:
    picture = PIL.Image.new("RGB", (width, height), random.choice(["white", "black", "red"]))
    draw = PIL.ImageDraw.Draw(picture)
    for _ in range(8):
        place = [int(random.integers(length)) for length in (width, height)]
        draw.text(place, "L 12.5 kV", fill=tuple(random.choice([0, 255], 3).tolist()))
        draw.line([*place, *place[::-1]], fill=tuple(random.choice([0, 255], 3).tolist()))
    return np.asarray(picture)


PICTURES: tuple[Callable[[Random, int, int], Array], ...] = (_noise, _extremes, _flat, _waves, _text)


def _by_pillow(picture: PIL.Image.Image, random: Random, quality: int) -> bytes:
    options: dict[str, Any] = {"optimize": bool(random.integers(2)), "progressive": bool(random.integers(2))}
    options |= [{"quality": quality}, {"qtables": [random.integers(1, 64, 64).tolist()] * 2}][
        int(random.integers(8) == 0)
    ]
    options |= [{}, {"restart_marker_rows": 1}, {"restart_marker_blocks": 3}][int(random.integers(3))]
    return pillow(picture, "JPEG", subsampling=int(random.integers(3)), **options)


def _by_simplejpeg(picture: PIL.Image.Image, random: Random, quality: int) -> bytes:
    grey, pixels = picture.mode == "L", np.atleast_3d(np.asarray(picture))
    sampling, colours = ("Gray", "GRAY") if grey else (str(random.choice(SAMPLINGS)), "RGB")
    fast = bool(random.integers(2))
    return simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality, colours, sampling, fastdct=fast)


def _by_imagecodecs(picture: PIL.Image.Image, random: Random, quality: int) -> bytes:
    options = {} if picture.mode == "L" else {"subsampling": str(random.choice(SAMPLINGS))}
    smoothing, optimise = random.integers(2, size=2).astype(bool).tolist()
    pixels = np.asarray(picture)
    return bytes(imagecodecs.jpeg8_encode(pixels, quality, smoothing=smoothing, optimize=optimise, **options))


ENCODERS = (_by_pillow, _by_pillow, _by_simplejpeg, _by_imagecodecs)


def honest(count: int) -> Iterator[bytes]:
    random = np.random.default_rng(0)
    for index in range(count):
        pixels = PICTURES[index % len(PICTURES)](random, *random.integers(1, 100, 2).tolist())
        encoder = ENCODERS[int(random.integers(len(ENCODERS)))]
        mode = random.choice(["L", "RGB", "RGB", "CMYK"] if encoder is _by_pillow else ["L", "RGB"])
        yield encoder(PIL.Image.fromarray(pixels).convert(str(mode)), random, int(random.integers(1, 101)))
