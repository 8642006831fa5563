"""JPEGs of real images, encoded in every usual way, and what breaks them: bytes overwritten, zeros, cuts."""

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import PIL.Image

from models.decode.jpeg_header import Jpeg
from tests.data import real_data
from tests.models.decode.files import pillow

ENCODINGS = {
    "baseline": {"quality": 90},
    "optimised": {"quality": 85, "optimize": True},
    "restarts": {"quality": 90, "restart_marker_rows": 1},
    "progressive": {"quality": 90, "progressive": True},
}
FOLDERS = ("kermany_cxr", "covid_cxr_seg/images", "he_tiles")


def encoded(kind: str, count: int, seed: int = 0) -> Iterator[bytes]:
    """Crops of real images in one of ENCODINGS; as many of each folder."""
    choose = random.Random(seed)
    folders = [sorted(real_data(name).rglob("*.jp*g")) for name in FOLDERS]
    for index in range(count):
        yield pillow(_crop(choose.choice(folders[index % len(folders)]), choose), "JPEG", **ENCODINGS[kind])


def originals(count: int, seed: int = 0) -> Iterator[bytes]:
    choose = random.Random(seed)
    folders = [sorted(real_data(name).rglob("*.jp*g")) for name in FOLDERS]
    for index in range(count):
        yield choose.choice(folders[index % len(folders)]).read_bytes()


def _crop(path: Path, choose: random.Random) -> PIL.Image.Image:
    with PIL.Image.open(path) as picture:
        side = min(224, *picture.size)
        left, top = (choose.randint(0, length - side) for length in picture.size)
        return picture.crop((left, top, left + side, top + side))


def _places(data: bytes) -> Sequence[int]:
    """Returns the offsets of the scans' data."""
    places: list[int] = []
    for part in Jpeg(data).parts:
        if part.scan:
            start = data.index(part.whole)
            header = 2 + int.from_bytes(part.whole[2:4], "big")
            places += range(start + header, start + len(part.whole))
    return places


def overwritten(length: int) -> Callable[[bytes, np.random.Generator], bytes]:
    def damage(data: bytes, random: np.random.Generator) -> bytes:
        return _replaced(data, random.integers(0, 256, length, np.uint8).tobytes(), random)

    return damage


def zeroed(data: bytes, random: np.random.Generator) -> bytes:
    return _replaced(data, bytes(512), random)


def cut(data: bytes, random: np.random.Generator) -> bytes:
    places = _places(data)
    return data[: places[int(len(places) * random.uniform(0.02, 0.98))]] + b"\xff\xd9"


def _replaced(data: bytes, other: bytes, random: np.random.Generator) -> bytes:
    places = _places(data)
    start = int(places[int(random.integers(max(1, len(places) - len(other))))])
    return data[:start] + other + data[start + len(other) :]


DAMAGES = {
    "16 bytes": overwritten(16),
    "64 bytes": overwritten(64),
    "256 bytes": overwritten(256),
    "512 zeros": zeroed,
    "cut": cut,
}
