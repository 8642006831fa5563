"""In-memory images: the pixels in their own bit depth, and what the file says about them."""

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


def upright(pixels: Array, orientation: int) -> Array:
    """Turns stored pixels (H, W, C) upright, by their EXIF orientation."""
    return np.ascontiguousarray(_UPRIGHT[orientation](pixels)) if orientation in _UPRIGHT else pixels


def without_alpha(pixels: Array) -> Array:
    """Drops alpha, the last of 2 or 4 channels: (H, W) or (H, W, C) -> (H, W, 1 or 3)."""
    if pixels.ndim == 2:
        return pixels[:, :, None]
    return pixels[:, :, : {2: 1, 4: 3}.get(pixels.shape[2], pixels.shape[2])]
