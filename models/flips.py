"""Test-time augmentation by mirroring: the input is mirrored, and the answer mirrored back."""

from functools import cache
from itertools import combinations
from typing import Literal

import numpy as np

from models.image import Array

Flip = Literal["horizontal", "vertical"]
_AXIS: dict[Flip, int] = {"horizontal": -1, "vertical": -2}


@cache
def orientations(flips: tuple[Flip, ...]) -> tuple[tuple[int, ...], ...]:
    """Returns the axes to mirror for each pass: none first, then every combination; each flip doubles the passes."""
    axes = [_AXIS[flip] for flip in dict.fromkeys(flips)]
    return tuple(chosen for count in range(len(axes) + 1) for chosen in combinations(axes, count))


def mirrored(tensor: Array, axes: tuple[int, ...]) -> Array:
    """Mirrors a tensor (..., H, W) along these axes; its own inverse."""
    return np.ascontiguousarray(np.flip(tensor, axes)) if axes else tensor
