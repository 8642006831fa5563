"""Test-time augmentation: an input mirrored in every way that a package names, and what is answered mirrored back."""

from functools import cache
from itertools import combinations
from typing import Literal

import numpy as np

from models.image import Array

Flip = Literal["horizontal", "vertical"]
_AXIS: dict[Flip, int] = {"horizontal": -1, "vertical": -2}


@cache
def orientations(flips: tuple[Flip, ...]) -> tuple[tuple[int, ...], ...]:
    """The axes to mirror for each pass: none first, then every combination, so that each flip doubles the passes."""
    axes = [_AXIS[flip] for flip in dict.fromkeys(flips)]
    return tuple(chosen for count in range(len(axes) + 1) for chosen in combinations(axes, count))


def mirrored(tensor: Array, axes: tuple[int, ...]) -> Array:
    """(..., H, W) -> the same with the pixels of these axes in reverse order; its own inverse."""
    return np.ascontiguousarray(np.flip(tensor, axes)) if axes else tensor
