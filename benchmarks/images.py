"""Images that all servers receive."""

import io
from dataclasses import dataclass

import numpy as np
import PIL.Image

from tests.data import FOLDER

XRAY = "kermany_cxr/test/NORMAL/IM-0001-0001.jpeg"
LARGE_XRAY = "chest_xray_samples/00000001_000.png"


@dataclass(frozen=True, slots=True)
class Upload:
    """A file's bytes, media type and description."""

    data: bytes
    kind: str
    about: str


def xray() -> Upload:
    """Returns a chest X-ray of 224 x 224 px as JPEG."""
    path = FOLDER / XRAY
    if path.exists():
        return Upload(path.read_bytes(), "image/jpeg", f"The chest X-ray {XRAY}, 224 x 224 JPEG")
    return Upload(_encoded(224, "JPEG"), "image/jpeg", "A synthetic 224 x 224 JPEG (no real data here)")


def large_xray() -> Upload:
    """Returns a chest X-ray of 512 x 512 px as PNG."""
    path = FOLDER / LARGE_XRAY
    if path.exists():
        return Upload(path.read_bytes(), "image/png", f"The chest X-ray {LARGE_XRAY}, 512 x 512 PNG")
    return Upload(_encoded(512, "PNG"), "image/png", "A synthetic 512 x 512 PNG (no real data here)")


def speck() -> Upload:
    """Returns an image of 8 x 8 px, for which all the time is overhead."""
    return Upload(_encoded(8, "PNG"), "image/png", "A synthetic 8 x 8 PNG")


def _encoded(side: int, file_format: str) -> bytes:
    """Encodes a synthetic (side, side) grey image that compresses about as an X-ray does."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:side, 0:side] / side
    shapes = 128 + 90 * np.sin(5 * x + 2) * np.cos(4 * y) + rng.normal(0, 6, (side, side))
    buffer = io.BytesIO()
    PIL.Image.fromarray(shapes.clip(0, 255).astype(np.uint8)).save(buffer, file_format)
    return buffer.getvalue()
