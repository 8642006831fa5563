"""Tests of receptive-field arithmetic: intervals worked out by hand, and those that gradients reach."""

from fractions import Fraction
from itertools import accumulate

import pytest
import torch
from torch import nn

from training.receptive_field import (
    PIXEL,
    Interval,
    Reach,
    after_linear_upsampling,
    after_nearest_upsampling,
    after_shift,
    after_transposed_convolution,
    after_window,
    union,
)


@pytest.mark.parametrize(
    "chain",
    [
        [nn.Conv1d(1, 1, 3, padding=1), nn.Conv1d(1, 1, 5, stride=3, padding=2), nn.Conv1d(1, 1, 3, dilation=2)],
        [nn.Conv1d(1, 1, 2, stride=2), nn.ConvTranspose1d(1, 1, 4, stride=2, padding=1), nn.Conv1d(1, 1, 3, stride=2)],
        [nn.AvgPool1d(3, stride=3), nn.ConvTranspose1d(1, 1, 3, stride=2), nn.ConvTranspose1d(1, 1, 2, stride=2)],
    ],
    ids=["strided", "up and down", "up by more"],
)
def test_each_place_sees_what_its_gradient_reaches(chain: list[nn.Module]) -> None:
    reach = PIXEL
    for layer in chain:
        for parameter in layer.parameters():
            nn.init.ones_(parameter)
        sizes = {k: v[0] if isinstance(v := getattr(layer, f"{k}"), tuple) else v for k in ("stride", "padding")}
        kernel, dilation = torch.as_tensor(layer.kernel_size).view(-1)[0], getattr(layer, "dilation", (1,))[0]
        rule = after_transposed_convolution if isinstance(layer, nn.ConvTranspose1d) else after_window
        reach = rule(reach, kernel=int(kernel), dilation=dilation, **sizes)
    x = torch.ones(1, 1, 90, requires_grad=True)
    *_, y = accumulate(chain, lambda value, layer: layer(value), initial=x)
    for place in range(y.shape[2] // 3, 2 * y.shape[2] // 3):
        (gradient,) = torch.autograd.grad(y[0, 0, place], x, retain_graph=True)
        pixels = torch.nonzero(gradient[0, 0])[:, 0]
        assert reach.at(place) == (int(pixels[0]), int(pixels[-1]))


def test_paths_of_different_strides_have_no_common_field() -> None:
    fine, coarse = after_window(PIXEL, kernel=3, stride=1), after_window(PIXEL, kernel=3, stride=2)
    assert union([fine, PIXEL]) == after_window(PIXEL, kernel=3, stride=1, padding=0)
    assert union([fine, coarse]) is None


POOLED = after_window(PIXEL, kernel=2, stride=2)  # place i sees pixels 2 i and 2 i + 1


@pytest.mark.parametrize(
    ("reach", "seen", "field", "stride"),
    [
        (PIXEL, [(0, 0), (1, 1), (2, 2)], 1, Fraction(1)),
        (POOLED, [(0, 1), (2, 3), (4, 5)], 2, Fraction(2)),
        (after_window(POOLED, kernel=3, stride=1, padding=1), [(-2, 3), (0, 5), (2, 7)], 6, Fraction(2)),
        (after_window(PIXEL, kernel=3, stride=1, dilation=2), [(0, 4), (1, 5), (2, 6)], 5, Fraction(1)),
        (after_nearest_upsampling(POOLED, times=2), [(0, 1), (0, 1), (2, 3), (2, 3)], 2, Fraction(1)),
        (after_nearest_upsampling(PIXEL, times=3), [(0, 0), (0, 0), (0, 0), (1, 1)], 1, Fraction(1, 3)),
        # Place 0 is at -1/4 of the places below, between -1 and 0; place 1 at 1/4, between 0 and 1.
        (after_linear_upsampling(PIXEL, times=2), [(-1, 0), (0, 1), (0, 1), (1, 2)], 2, Fraction(1, 2)),
        (after_linear_upsampling(PIXEL, times=1), [(0, 0), (1, 1)], 1, Fraction(1)),
        (after_shift(POOLED, by=-1), [(-2, -1), (0, 1)], 2, Fraction(2)),  # padded by one place
        (after_shift(POOLED, by=2), [(4, 5), (6, 7)], 2, Fraction(2)),  # two places cut off
    ],
)
def test_places_see_the_pixels_that_hand_arithmetic_gives(
    reach: Reach, seen: list[Interval], field: int, stride: Fraction
) -> None:
    assert [reach.at(place) for place in range(len(seen))] == seen
    assert (reach.field, reach.stride) == (field, stride)
    first, last = reach.at(0)
    period = len(reach.spans)
    assert reach.at(-period) == (first - reach.advance, last - reach.advance)  # also before the image


def test_a_sum_sees_what_any_of_its_paths_sees() -> None:
    """A pooled path brought back up, beside one that stays: the field depends on the place, over two of them."""
    up = after_nearest_upsampling(POOLED, times=2)
    both = union([up, after_window(PIXEL, kernel=3, stride=1, padding=1)])
    assert both is not None
    assert [both.at(place) for place in range(4)] == [(-1, 1), (0, 2), (1, 3), (2, 4)]
    shifted = union([up, PIXEL, after_shift(PIXEL, by=2)])
    assert shifted is not None
    assert [shifted.at(place) for place in range(4)] == [(0, 2), (0, 3), (2, 4), (2, 5)]
    assert (shifted.field, shifted.stride) == (4, 1)
