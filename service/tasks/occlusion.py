"""Occlusion maps: the evidence for a class by covering the image piece by piece (Zeiler and Fergus 2014, 1311.2901)."""

from collections.abc import Awaitable, Callable
from functools import partial

import numpy as np

from models.image import Array

STEPS = 14  # along each side, so that no image takes more than 169 runs

Window = tuple[slice, slice]
Probabilities = Callable[[list[Callable[[], Array]]], Awaitable[list[float]]]


def windows(height: int, width: int) -> list[Window]:
    """Returns squares that cover the image, two steps wide and one step apart: each pixel lies in up to four."""
    return [(rows, columns) for rows in _spans(height) for columns in _spans(width)]


def _spans(length: int) -> list[slice]:
    step = -(-length // STEPS)
    wide = min(2 * step, length)
    count = -(-(length - wide) // step) + 1
    return [slice(n * step, min(n * step + wide, length)) for n in range(count)]


async def occlusion_map(tensor: Array, probabilities: Probabilities, *, before: float) -> Array:
    """tensor (C, H, W) -> (H, W) float32: the mean drop of the probability when a window covers the pixel.

    A window is covered by each channel's mean. before: the probability of the whole. probabilities: of the inputs that
    these functions make; raises what it raises.
    """
    cover = tensor.mean(axis=(1, 2), keepdims=True)
    squares = windows(*tensor.shape[1:])
    after = await probabilities([partial(_covered, tensor, cover, window) for window in squares])
    total, count = np.zeros((2, *tensor.shape[1:]))
    for window, probability in zip(squares, after):
        total[window] += before - probability
        count[window] += 1
    drop: Array = (total / count).astype(np.float32)
    return drop


def _covered(tensor: Array, cover: Array, window: Window) -> Array:
    covered = tensor.copy()
    covered[:, *window] = cover
    return covered
