"""Planes of a smaller JPEG: how far the samples of each component, and the means of its blocks, lead from 128."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from models.decode.jpeg_header import Jpeg, Steps
from models.decode.jpeg_range import Visible, mean_alone, visible
from models.image import Array

_LARGEST = 2**20  # pixels. In larger images an offset of the means is seen as often, and the half costs more time


class Plane(NamedTuple):
    """A component as it comes out. down, across: the pixels that a block takes."""

    table: Visible
    furthest_mean: float  # from 128, that a block's can lead
    down: int
    across: int


class Planes(NamedTuple):
    """All components, halved or, where the means alone are of interest, at an eighth of their size."""

    factor: int
    unit: tuple[int, int]  # the height and width of which whole ones are decoded
    each: list[Plane]
    tables: bytes  # of quantisation, one for each plane


class Smaller(NamedTuple):
    """A smaller image of a JPEG. height, width: that the frame states for it, of whole blocks."""

    height: int
    width: int
    planes: Planes


def smaller(jpeg: Jpeg) -> Smaller:
    """Returns the size that shows most. A scan of a progressive file tells too little of the samples."""
    frame = jpeg.frame
    steps = tuple([jpeg.steps[component] for component in frame.components])
    halved = not frame.progressive and jpeg.scans == 1 and frame.height * frame.width <= _LARGEST
    planes = _planes(frame.sampling if len(steps) > 1 else b"\x11", steps, halved)
    height, width = (-(-length // unit) * unit for length, unit in zip((frame.height, frame.width), planes.unit))
    return Smaller(height, width, planes)


@lru_cache(maxsize=256)
def _planes(samplings: bytes, steps: tuple[Steps, ...], halved: bool) -> Planes:
    down, across = (max(each >> shift & 15 for each in samplings) for shift in (0, 4))
    if halved:
        each = [_plane(own, 4 * down // (by & 15), 4 * across // (by >> 4)) for own, by in zip(steps, samplings)]
    else:
        each = [_plane_of(mean_alone(own), own, 1, 1) for own in steps]
    tables = b"".join(b"\xff\xdb\0\x43" + bytes([number]) + plane.table.steps for number, plane in enumerate(each))
    return Planes(2 if halved else 8, (8 * down, 8 * across) if halved else (1, 1), each, tables)


def _plane(steps: Steps, down: int, across: int) -> Plane:
    enlarged = down >= 8 and across >= 8  # libjpeg takes the whole block rather than enlarge the half
    return _plane_of(visible(steps, halved=not enlarged), steps, down, across)


def _plane_of(table: Visible, steps: Steps, down: int, across: int) -> Plane:
    """Returns a plane. An encoder may round a mean of 128 up by a step, and libjpeg any by a half."""
    furthest_mean = ((1024 + steps[0]) * table.steps[0] / max(steps[0], 1) + 4) / 8
    return Plane(table, furthest_mean, down, across)


def leaves_range(pixels: Array, planes: Planes) -> bool:
    """Returns whether a sample, or the mean of a block, leads further than 8 bits do. pixels: (H, W, C) uint8."""
    rows, count = pixels.reshape(len(pixels), -1), len(planes.each)
    of_each = [_from_middle(rows)] if count == 1 else _of_components(rows, count)
    return any(
        furthest > plane.table.furthest
        or (furthest > plane.furthest_mean and _from_middle(_means(rows, first, count, plane)) > plane.furthest_mean)
        for first, (plane, furthest) in enumerate(zip(planes.each, of_each))
    )


def _from_middle(values: Array) -> float:
    return max(128 - float(values.min()), float(values.max()) - 128)


def _of_components(rows: Array, count: int) -> list[float]:
    """Returns how far from 128 each leads. rows: (H, W * C), along which numpy is fast, but not down a component."""
    above, below = rows.max(axis=0).astype(np.int16) - 128, 128 - rows.min(axis=0).astype(np.int16)
    furthest = np.maximum(above, below)
    return [float(furthest[first::count].max()) for first in range(count)]


def _means(rows: Array, first: int, count: int, plane: Plane) -> Array:
    """Returns the means of a component's blocks. rows: (H, W * C)."""
    of_rows = rows.reshape(-1, plane.down, rows.shape[1]).sum(axis=1, dtype=np.uint16)
    columns = of_rows[:, first::count]
    of_blocks = sum(
        (columns[:, start :: plane.across] for start in range(1, plane.across)), start=columns[:, :: plane.across]
    )
    return np.asarray(of_blocks / (plane.down * plane.across))
