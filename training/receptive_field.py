"""Receptive-field arithmetic: intervals of input pixels, exact along every path."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce

Interval = tuple[int, int]  # first and last place, inclusive


@dataclass(frozen=True, slots=True)
class Reach:
    """Input pixels that each place of a layer sees along one axis; the pattern is periodic.

    spans: first and last pixel of places 0 ... period - 1; the next period's lie `advance` pixels further. Padding
    counts as pixels: the field belongs to the layer, not to the image.
    """

    spans: tuple[Interval, ...]
    advance: int

    @property
    def stride(self) -> Fraction:
        return Fraction(self.advance, len(self.spans))

    @property
    def field(self) -> int:
        """The receptive field in px; if it depends on the place, the largest."""
        return max(last - first + 1 for first, last in self.spans)

    def at(self, place: int) -> Interval:
        """Returns the first and last pixel that this place sees."""
        turns, rest = divmod(place, len(self.spans))
        first, last = self.spans[rest]
        return first + turns * self.advance, last + turns * self.advance


PIXEL = Reach(spans=((0, 0),), advance=1)


def compose(reach: Reach, sources: Callable[[int], Interval], *, up: int = 1, down: int = 1) -> Reach:
    """Composes a layer with the one below: place i sees places sources(i), which move by `down` for every `up`."""
    turns = down // math.gcd(len(reach.spans), down)  # periods below until both patterns repeat
    count = len(reach.spans) * turns * up // down
    below = [sources(place) for place in range(count)]
    spans = tuple((reach.at(first)[0], reach.at(last)[1]) for first, last in below)
    return Reach(spans, advance=reach.advance * turns)


def after_window(reach: Reach, *, kernel: int, stride: int, padding: int = 0, dilation: int = 1) -> Reach:
    """Returns the reach after a convolution or pooling."""
    return compose(reach, lambda i: (i * stride - padding, i * stride - padding + dilation * (kernel - 1)), down=stride)


def after_transposed_convolution(
    reach: Reach, *, kernel: int, stride: int, padding: int = 0, dilation: int = 1
) -> Reach:
    """Returns the reach after a transposed convolution.

    Place j below adds to the places from j * stride - padding on, dilation * (kernel - 1) further.
    """
    width = dilation * (kernel - 1)
    return compose(reach, lambda i: (-((width - i - padding) // stride), (i + padding) // stride), up=stride)


def after_nearest_upsampling(reach: Reach, *, times: int) -> Reach:
    """Returns the reach after nearest-neighbour upsampling, or max-unpooling without overlap."""
    return compose(reach, lambda i: (i // times, i // times), up=times)


def after_linear_upsampling(reach: Reach, *, times: int) -> Reach:
    """Returns the reach after linear upsampling, corners not aligned: place i is (i + 1/2) / times - 1/2 below."""

    def sources(i: int) -> Interval:
        low = Fraction(2 * i + 1, 2 * times) - Fraction(1, 2)
        return math.floor(low), math.ceil(low)

    return compose(reach, sources, up=times)


def after_shift(reach: Reach, *, by: int) -> Reach:
    """Returns the reach after padding (by < 0) or cropping (by > 0)."""
    return compose(reach, lambda i: (i + by, i + by))


def union(reaches: Sequence[Reach]) -> Reach | None:
    """Returns the reach of a sum or concatenation: the smallest interval that contains every path's.

    None, for the whole image, if the paths have different strides.
    """
    if len({reach.stride for reach in reaches}) != 1:
        return None
    count = reduce(math.lcm, (len(reach.spans) for reach in reaches))
    places = [[reach.at(place) for reach in reaches] for place in range(count)]
    spans = tuple((min(first for first, _ in each), max(last for _, last in each)) for each in places)
    return Reach(spans, advance=int(reaches[0].stride * count))
