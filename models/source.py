"""Sources: images that can be read in parts, with their axes, levels and spacing."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, Literal, Protocol

import numpy as np

from models.errors import UnsupportedImage
from models.image import Array, upright, without_alpha

AXES = "TCZYXS"  # time, channel, depth, height, width, and the samples (red, green, blue) of a colour
Region = Mapping[str, slice]  # half-open ranges by axis, in the pixels of the level; axes that are not named are whole
_UM = {"µm": 1.0, "mm": 1e3}
_LARGEST_UM = 1e6  # a pixel's side; its area must be a number too


@dataclass(frozen=True, slots=True)
class Spacing:
    """Distance between neighbouring pixels along one axis."""

    value: float
    unit: Literal["µm", "mm"] = "µm"

    @property
    def um(self) -> float:
        return self.value * _UM[self.unit]


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution of an image; both along the source's axes.

    downsample: how many pixels of level 0 one of its pixels spans.
    """

    shape: tuple[int, ...]
    downsample: tuple[float, ...]


NOTHING: Mapping[str, Any] = MappingProxyType({})


class RegionError(ValueError):
    """A region or level that the source does not have."""


class Source(Protocol):
    """One image of any size. axes: letters of AXES, each once. dtype: the file's own. levels: the finest first.

    spacing: of level 0, for the axes where the file states it. orientation: the anatomical direction in which an axis
    runs ("L", "P", "S" ...), where the format knows it. format: "png", "tiff" ... damage: what is wrong with the file,
    whose pixels may be wrong then; None of a sound one.
    """

    @property
    def axes(self) -> str: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def levels(self) -> Sequence[Level]: ...
    @property
    def spacing(self) -> Mapping[str, Spacing]: ...
    @property
    def orientation(self) -> Mapping[str, str]: ...
    @property
    def format(self) -> str: ...
    @property
    def damage(self) -> str | None: ...

    def read(self, region: Region | None = None, level: int = 0) -> Array:
        """Returns the pixels of a region, along all axes; a range that goes on beyond the image ends with it.

        They are not to be written to. Raises RegionError, and DamagedImage where the file cannot be decoded there.
        """
        ...


class ArraySource:
    """Source of pixels in memory. coarser: further levels, each smaller than the one before."""

    __slots__ = ("_arrays", "axes", "damage", "format", "orientation", "spacing")

    def __init__(
        self,
        pixels: Array,
        axes: str,
        format: str = "array",
        spacing: Mapping[str, Spacing] = NOTHING,
        *,
        orientation: Mapping[str, str] = NOTHING,
        coarser: tuple[Array, ...] = (),
        damage: str | None = None,
    ) -> None:
        if pixels.ndim != _count(axes):
            raise ValueError(f"The axes {axes} are not those of an array of shape {pixels.shape}.")
        self._arrays = (pixels, *coarser) if coarser else (pixels,)
        self.axes, self.format, self.spacing, self.orientation = axes, format, spacing, orientation
        self.damage = damage

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = self._arrays[0].dtype
        return dtype

    @property
    def levels(self) -> Sequence[Level]:
        whole = self._arrays[0].shape
        return [
            Level(array.shape, tuple(most / length for most, length in zip(whole, array.shape)))
            for array in self._arrays
        ]

    def read(self, region: Region | None = None, level: int = 0) -> Array:
        if not 0 <= level < len(self._arrays):
            raise no_level(level, len(self._arrays))
        pixels = self._arrays[level]
        return pixels[ranges(region, self.axes, pixels.shape)] if region else pixels


@cache
def _count(axes: str) -> int:
    if len(set(axes)) < len(axes) or not set(axes) <= set(AXES):
        raise ValueError(f"The axes {axes!r} are not letters of {AXES}, each once.")
    return len(axes)


def ranges(region: Region, axes: str, shape: Sequence[int]) -> tuple[slice, ...]:
    """Returns a slice for each axis of a level of this shape. Raises RegionError."""
    if unknown := set(region) - set(axes):
        raise RegionError(f"The image has no axis {', '.join(sorted(unknown))}; its axes are {axes}.")
    return tuple(_within(region.get(axis, slice(None)), axis, length) for axis, length in zip(axes, shape))


def _within(part: slice, axis: str, length: int) -> slice:
    start, stop = part.start or 0, length if part.stop is None else part.stop
    if part.step not in (None, 1) or not 0 <= start < min(stop, length):
        step = "" if part.step is None else f" in steps of {part.step}"
        raise RegionError(
            f"{axis} from {start} to {stop}{step} is no part of the image, whose {axis} is 0 to {length}."
        )
    return slice(start, min(stop, length))


def no_level(level: int, count: int) -> RegionError:
    return RegionError(f"The image has no level {level}; it has {count}, of which 0 is the finest.")


@dataclass(frozen=True, slots=True)
class Image:
    """An image as it was sent: pixels (H, W, C) in the file's own dtype, C = 1 (grey) or 3 (colour), without alpha.

    format: "png", "jpeg" or "tiff". pixel_size_um: the side of a (square) pixel in micrometres, where the file says it.
    damage: what is wrong with the file, where pixels could be decoded all the same.
    """

    pixels: Array
    format: str
    pixel_size_um: float | None = None
    damage: str | None = None

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def channels(self) -> int:
        return int(self.pixels.shape[2])


def image_of(source: Source) -> Image:
    """Reads a plane (YX), a colour plane (YXS) or a signal (CX) whole. Raises UnsupportedImage for other axes."""
    pixels, axes = source.read(), source.axes
    if axes == "YX":
        pixels = pixels[:, :, None]
    elif axes == "CX":  # an image one pixel high
        pixels = pixels.T[None]
    elif axes != "YXS":
        raise UnsupportedImage(f"The image has the axes {axes}; this service takes one plane, grey or colour.")
    return Image(pixels, source.format, _pixel_size_um(source.spacing) if source.spacing else None, source.damage)


def _pixel_size_um(spacing: Mapping[str, Spacing]) -> float | None:
    """Returns the side of a square pixel in µm, if it can be one."""
    if "X" not in spacing or "Y" not in spacing:
        return None
    x, y = spacing["X"].um, spacing["Y"].um
    return x if math.isclose(x, y, rel_tol=1e-3) and 0 < x <= _LARGEST_UM else None


def plane(
    pixels: Array,
    format: str,
    orientation: int = 1,
    spacing_um: tuple[float, float] | None = None,
    damage: str | None = None,
) -> Source:
    """Wraps stored pixels (H, W) or (H, W, C) in a source of YX or YXS, upright and without alpha.

    spacing_um: of Y and X as they are stored.
    """
    if pixels.ndim == 3 or orientation != 1:  # most grey images are as they should be
        pixels = upright(without_alpha(pixels), orientation)
        pixels = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
    spacing = NOTHING
    if spacing_um:
        height, width = spacing_um if orientation < 5 else spacing_um[::-1]
        spacing = {"Y": Spacing(height), "X": Spacing(width)}
    return ArraySource(pixels, "YX" if pixels.ndim == 2 else "YXS", format, spacing, damage=damage)
