"""Geometry of networks (receptive field, stride, halo) and the exact overlap-tile plan that follows from it.

The tiles (Ronneberger 2015, figure 2) give what one pass over the whole image gives. A tile's halo is at least the
reach of the receptive field, and its origin and size keep the network's grid, so the inner part of every tile equals
the whole-image answer and needs no blending. Padding is only at the true border.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

from models.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class Geometry:
    """Geometry in px. The network takes sizes of min_size + k * step.

    halo: reach of the receptive field beyond a block of stride x stride pixels, rounded up to the stride. border: what
    valid convolutions lose on each side. origin: centre of the map's first pixel, from the centre of the input's first.
    reach: "image" if normalisation sees the whole image, so no halo makes tiles exact; receptive field and halo are
    then those of the convolutions.
    """

    stride: int
    receptive_field: int
    halo: int
    border: int
    min_size: int
    step: int
    origin: float = 0.0
    reach: Literal["local", "image"] = "local"


def halo_of(first: int, last: int, *, step: int) -> int:
    """Returns the halo in px where a block's pixels 0 to step - 1 depend on the input's pixels first to last."""
    return -(-max(-first, last - (step - 1)) // step) * step


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile. outer: the region of the padded image to read. inner: where its result goes. crop: which part of it."""

    outer: tuple[slice, slice]
    inner: tuple[slice, slice]
    crop: tuple[slice, slice]


@dataclass(frozen=True, slots=True)
class Grid:
    """Sizes of tiles in pixels.

    A tile is min_size + k * step pixels a side; its outputs lack `border` pixels on each side, and those within `halo`
    of a cut edge are wrong.
    """

    tile: int
    min_size: int
    step: int
    halo: int
    border: int

    @classmethod
    def of(cls, spec: ModelSpec, *, tile_px: int) -> "Grid":
        """Returns the grid of the largest tiles up to tile_px, of which at least half of each side is usable."""
        step = math.lcm(spec.input.step, spec.stride)  # origins must be on the network's grid
        lost = 2 * (spec.halo + spec.border)
        steps = max((max(tile_px, 2 * lost) - spec.input.min_size) // step, -(-(lost + step) // step))
        tile = spec.input.min_size + steps * step
        return cls(tile=tile, min_size=spec.input.min_size, step=step, halo=spec.halo, border=spec.border)


def plan(*, height: int, width: int, grid: Grid) -> Iterator[Tile]:
    """Yields the tiles of a padded image of height x width, both min_size + k * step, row by row from the top."""
    for (y, rows, crop_y), (x, columns, crop_x) in product(_windows(height, grid), _windows(width, grid)):
        yield Tile((y, x), (rows, columns), (crop_y, crop_x))


def _windows(length: int, grid: Grid) -> Iterator[tuple[slice, slice, slice]]:
    """Yields (outer, inner, crop) along one axis. The last window is moved back to end where the image ends."""
    tile = min(grid.tile, length)
    origins = _origins(length, tile, grid)
    while tile > grid.min_size and len(smaller := _origins(length, tile - grid.step, grid)) == len(origins):
        tile, origins = tile - grid.step, smaller  # as many windows, which overlap less
    end = length - 2 * grid.border
    done = 0
    for origin in origins:
        stop = end if origin == origins[-1] else origin + tile - 2 * grid.border - grid.halo
        yield slice(origin, origin + tile), slice(done, stop), slice(done - origin, stop - origin)
        done = stop


def _origins(length: int, tile: int, grid: Grid) -> Sequence[int]:
    """Returns where the windows begin; none if they would advance by nothing."""
    advance = (tile - 2 * (grid.halo + grid.border)) // grid.step * grid.step
    if tile >= length:
        return (0,)
    return (*range(0, length - tile, advance), length - tile) if advance > 0 else ()
