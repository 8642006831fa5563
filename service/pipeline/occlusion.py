"""Where a class was seen, by covering the image piece by piece: Zeiler and Fergus 2014 (arXiv:1311.2901)."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import numpy as np

from models.image import Array

STEPS = 14  # along each side, so that no image takes more than 169 runs

Window = tuple[slice, slice]


def windows(height: int, width: int) -> list[Window]:
    """Squares that cover the image, each two steps wide, one step from the next: each pixel lies in up to four."""
    return [(rows, columns) for rows in _spans(height) for columns in _spans(width)]


def _spans(length: int) -> list[slice]:
    step = -(-length // STEPS)
    wide = min(2 * step, length)
    count = -(-(length - wide) // step) + 1
    return [slice(n * step, min(n * step + wide, length)) for n in range(count)]


async def drops(
    tensor: Array, probability: Callable[[Array], Awaitable[float]], *, before: float, at_once: int
) -> Array:
    """tensor (C, H, W) -> (H, W) float32: how far the probability drops, on average, when a window covers the pixel.

    A window is covered by each channel's mean. before: the probability of the whole. at_once: runs under way together.
    Raises what `probability` raises; then, and when cancelled, no run goes on.
    """
    cover = tensor.mean(axis=(1, 2), keepdims=True)
    total, count = np.zeros((2, *tensor.shape[1:]))
    left = iter(windows(*tensor.shape[1:]))

    async def lane(left: Iterator[Window]) -> None:
        for window in left:
            covered = tensor.copy()
            covered[:, *window] = cover
            total[window] += before - await probability(covered)
            count[window] += 1

    try:
        async with asyncio.TaskGroup() as lanes:
            for _ in range(at_once):
                lanes.create_task(lane(left))
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
    drop: Array = (total / count).astype(np.float32)
    return drop
