"""An image as it was sent: its pixels in their own depth, and what the file says of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# EXIF orientation (JEITA CP-3451, tag 274) -> what turns stored pixels upright.
_UPRIGHT = {
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
    8: lambda p: np.rot90(p),
}


@dataclass(frozen=True, slots=True)
class Image:
    """pixels (H, W, C) in the file's own dtype, C = 1 (grey) or 3 (colour), never an alpha channel.

    format: "png", "jpeg" or "tiff". pixel_size_um: the side of a (square) pixel in micrometres, where the file says it.
    """

    pixels: Array
    format: str
    pixel_size_um: float | None = None

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def channels(self) -> int:
        return int(self.pixels.shape[2])


def upright(pixels: Array, orientation: int) -> Array:
    """Stored pixels (H, W, C) and their EXIF orientation -> the pixels as a person should see them."""
    return np.ascontiguousarray(_UPRIGHT[orientation](pixels)) if orientation in _UPRIGHT else pixels


def without_alpha(pixels: Array) -> Array:
    """(H, W) or (H, W, C) -> (H, W, 1 or 3): the last of 2 or 4 channels is alpha, and is dropped."""
    if pixels.ndim == 2:
        return pixels[:, :, None]
    return pixels[:, :, : {2: 1, 4: 3}.get(pixels.shape[2], pixels.shape[2])]
