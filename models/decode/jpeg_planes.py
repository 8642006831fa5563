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


class Smaller(NamedTuple):
    """A smaller image of a JPEG, which holds whole blocks. factor: 2, or 8 where the means alone are of interest."""

    factor: int
    height: int  # that the frame states for it
    width: int
    planes: list[Plane]
    tables: bytes  # of quantisation, one for each plane
    furthest: float  # from 128, that no plane need be looked at


def smaller(jpeg: Jpeg) -> Smaller:
    """Returns the size that shows most. A scan of a progressive file tells too little of the samples."""
    frame = jpeg.frame
    steps = tuple([jpeg.steps[component] for component in frame.components])
    halved = not frame.progressive and jpeg.scans == 1 and frame.height * frame.width <= _LARGEST
    return _smaller(frame.height, frame.width, frame.sampling if len(steps) > 1 else b"\x11", steps, halved)


@lru_cache(maxsize=256)
def _smaller(height: int, width: int, samplings: bytes, steps: tuple[Steps, ...], halved: bool) -> Smaller:
    if halved:
        down, across = (max(each >> shift & 15 for each in samplings) for shift in (0, 4))
        planes = [
            _plane(own, 4 * down // (each & 15), 4 * across // (each >> 4)) for own, each in zip(steps, samplings)
        ]
        height, width = _whole(height, 8 * down), _whole(width, 8 * across)
    else:
        planes = [_plane_of(mean_alone(own), own, 1, 1) for own in steps]
    tables = b"".join(b"\xff\xdb\0\x43" + bytes([number]) + plane.table.steps for number, plane in enumerate(planes))
    furthest = min(min(plane.furthest_mean, plane.table.furthest) for plane in planes)
    return Smaller(2 if halved else 8, height, width, planes, tables, furthest)


def _plane(steps: Steps, down: int, across: int) -> Plane:
    enlarged = down >= 8 and across >= 8  # libjpeg takes the whole block rather than enlarge the half
    return _plane_of(visible(steps, halved=not enlarged), steps, down, across)


def _plane_of(table: Visible, steps: Steps, down: int, across: int) -> Plane:
    """Returns a plane. An encoder may round a mean of 128 up by a step, and libjpeg any by a half."""
    furthest_mean = ((1024 + steps[0]) * table.steps[0] / max(steps[0], 1) + 4) / 8
    return Plane(table, furthest_mean, down, across)


def _whole(length: int, unit: int) -> int:
    return -(-length // unit) * unit


def leaves_range(pixels: Array, size: Smaller) -> bool:
    """Returns whether a sample, or the mean of a block, leads further than 8 bits do. pixels: (H, W, C) uint8."""
    planes = size.planes
    if _from_middle(pixels, pixels) <= size.furthest:  # as in nearly all grey images
        return False
    rows = pixels.reshape(len(pixels), -1)
    darkest, brightest = rows.min(axis=0), rows.max(axis=0)  # numpy is slow to go down a component's columns
    for first, plane in enumerate(planes):
        own = slice(first, None, len(planes))
        furthest = _from_middle(darkest[own], brightest[own])
        if furthest > plane.table.furthest:
            return True
        if furthest > plane.furthest_mean and _from_middle(*_means(rows[:, own], plane)) > plane.furthest_mean:
            return True
    return False


def _from_middle(darkest: Array, brightest: Array) -> float:
    return max(128 - float(darkest.min()), float(brightest.max()) - 128)


def _means(rows: Array, plane: Plane) -> tuple[Array, Array]:
    of_rows = _sum([rows[row :: plane.down] for row in range(plane.down)])
    of_blocks = _sum([of_rows[:, column :: plane.across] for column in range(plane.across)])
    return (of_blocks / (plane.down * plane.across),) * 2


def _sum(parts: list[Array]) -> Array:
    total = parts[0].astype(np.uint16)
    for part in parts[1:]:
        total += part
    return total
