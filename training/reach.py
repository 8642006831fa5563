"""Which pixels of the input each place of a layer sees: exact, along every path, by arithmetic on intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce

Interval = tuple[int, int]  # first and last place, both seen


@dataclass(frozen=True, slots=True)
class Reach:
    """Along one axis, place i of a layer sees the input's pixels at(i); it repeats every `period` places.

    spans: first and last pixel (P,) of places 0 ... period - 1; the next period's are `advance` pixels further on.
    Borders do not clip it: padding counts as pixels, so that the field is the layer's own and not the image's.
    """

    spans: tuple[Interval, ...]
    advance: int

    @property
    def stride(self) -> Fraction:
        return Fraction(self.advance, len(self.spans))

    @property
    def field(self) -> int:
        """The receptive field in px, where it depends on the place the largest."""
        return max(last - first + 1 for first, last in self.spans)

    def at(self, place: int) -> Interval:
        turns, rest = divmod(place, len(self.spans))
        first, last = self.spans[rest]
        return first + turns * self.advance, last + turns * self.advance


PIXEL = Reach(spans=((0, 0),), advance=1)


def drawn_from(reach: Reach, sources: Callable[[int], Interval], *, up: int = 1, down: int = 1) -> Reach:
    """The reach of a layer whose place i sees the places sources(i) below it, `down` places on for every `up` of i."""
    turns = down // math.gcd(len(reach.spans), down)  # periods below until both patterns begin again
    count = len(reach.spans) * turns * up // down
    below = [sources(place) for place in range(count)]
    spans = tuple((reach.at(first)[0], reach.at(last)[1]) for first, last in below)
    return Reach(spans, advance=reach.advance * turns)


def windowed(reach: Reach, *, kernel: int, stride: int, padding: int = 0, dilation: int = 1) -> Reach:
    """Of a convolution or a pooling."""
    return drawn_from(
        reach, lambda i: (i * stride - padding, i * stride - padding + dilation * (kernel - 1)), down=stride
    )


def transposed(reach: Reach, *, kernel: int, stride: int, padding: int = 0, dilation: int = 1) -> Reach:
    """Of a transposed convolution: place j below adds to j * stride - padding and the dilation (kernel - 1) after."""
    width = dilation * (kernel - 1)
    return drawn_from(reach, lambda i: (-((width - i - padding) // stride), (i + padding) // stride), up=stride)


def repeated(reach: Reach, *, times: int) -> Reach:
    """Of nearest-neighbour upsampling, and of max-unpooling in windows that do not overlap."""
    return drawn_from(reach, lambda i: (i // times, i // times), up=times)


def interpolated(reach: Reach, *, times: int) -> Reach:
    """Of linear upsampling with the corners not aligned: place i lies at (i + 1/2) / times - 1/2 below."""

    def sources(i: int) -> Interval:
        low = Fraction(2 * i + 1, 2 * times) - Fraction(1, 2)
        return math.floor(low), math.ceil(low)

    return drawn_from(reach, sources, up=times)


def shifted(reach: Reach, *, by: int) -> Reach:
    """Of padding (by < 0) and of cutting off a border (by > 0)."""
    return drawn_from(reach, lambda i: (i + by, i + by))


def joined(reaches: Sequence[Reach]) -> Reach | None:
    """Of a sum or a concatenation of channels: the smallest interval that holds every path's.

    None, which means the whole image, where the paths have different strides.
    """
    if len({reach.stride for reach in reaches}) != 1:
        return None
    count = reduce(math.lcm, (len(reach.spans) for reach in reaches))
    places = [[reach.at(place) for reach in reaches] for place in range(count)]
    spans = tuple((min(first for first, _ in each), max(last for _, last in each)) for each in places)
    return Reach(spans, advance=int(reaches[0].stride * count))
