"""How much damage inside JPEGs is found: a table over thousands of files, printed with -s."""

from collections.abc import Iterator

import numpy as np
import pytest

from models.decode import decode
from models.errors import DamagedImage
from models.image import Array
from tests.models.decode.broken_jpegs import DAMAGES, ENCODINGS, encoded, originals

pytestmark = pytest.mark.long
FILES = 1002  # of each kind, a third of each collection
# The shares that are refused, of files as their sources have them and of crops that were encoded anew. What is left are
# valid streams; in a progressive one they hardly change the picture.
FLOORS = {
    "originals": {"16 bytes": 0.72, "64 bytes": 0.90, "256 bytes": 0.98, "512 zeros": 0.98},
    "baseline": {"16 bytes": 0.73, "64 bytes": 0.91, "256 bytes": 0.98, "512 zeros": 0.98},
    "optimised": {"16 bytes": 0.80, "64 bytes": 0.91, "256 bytes": 0.98, "512 zeros": 0.98},
    "restarts": {"16 bytes": 0.70, "64 bytes": 0.90, "256 bytes": 0.98, "512 zeros": 0.98},
    "progressive": {"16 bytes": 0.75, "64 bytes": 0.86, "256 bytes": 0.98, "512 zeros": 0.98},
}
WRONG, MUCH = 10, 0.05  # grey levels by which a pixel is wrong; the share of such pixels that spoils an image


def files(kind: str) -> Iterator[bytes]:
    return originals(FILES) if kind == "originals" else encoded(kind, FILES)


def pixels_of(data: bytes) -> Array | None:
    try:
        return decode(data, max_pixels=10**8).pixels
    except DamagedImage:
        return None


def is_spoilt(pixels: Array, whole: Array) -> bool:
    return bool((np.abs(pixels.astype(int) - whole).max(axis=2) > WRONG).mean() > MUCH)


@pytest.mark.parametrize("kind", ["originals", *ENCODINGS])
def test_shares_of_damage_that_is_found(kind: str) -> None:
    random = np.random.default_rng(0)
    refused, spoilt = dict.fromkeys(DAMAGES, 0), dict.fromkeys(DAMAGES, 0)
    for data in files(kind):
        whole = pixels_of(data)
        assert whole is not None
        for name, damaged in DAMAGES.items():
            pixels = pixels_of(damaged(data, random))
            refused[name] += pixels is None
            spoilt[name] += pixels is not None and is_spoilt(pixels, whole)
    for name in DAMAGES:
        share, harm = refused[name] / FILES, spoilt[name] / FILES
        print(f"{kind:12} {name:10} refused {share:.3f}, answered with a spoilt image {harm:.3f}")  # noqa: T201
    assert refused["cut"] == FILES
    assert {name: refused[name] / FILES for name, floor in FLOORS[kind].items() if refused[name] < floor * FILES} == {}
