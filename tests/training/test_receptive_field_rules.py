"""Tests of the rules that propagate receptive fields: every operation's places see what hand arithmetic gives."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.layer_trace import trace
from training.receptive_field import PIXEL, Reach, after_window
from training.receptive_field_rules import bind_arguments, propagate, window_sizes

ATEN = torch.ops.aten
WINDOW = after_window(PIXEL, kernel=3, stride=2)
Seen = list[tuple[int, int]]


class Operation(nn.Module):
    """One function as a network, followed by a product with ones, so that views have a row too."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        y = self.function(x)
        return y * torch.ones_like(y)


def last_axis(function: Callable[[Tensor], Tensor], *, channels: int = 1) -> Reach | None:
    """Returns what the places of the function's last axis see, of an image of 12 x 12 pixels."""
    return trace(Operation(function), shape=(channels, 12, 12))[-1].axes[-1]


@pytest.mark.parametrize(
    ("function", "seen"),
    [
        (lambda x: F.conv2d(x, x.new_ones(1, 1, 3, 5), padding=(1, 2), stride=(1, 2)), [(-2, 2), (0, 4)]),
        (lambda x: F.conv_transpose2d(x, x.new_ones(1, 1, 2, 2), stride=2), [(0, 0), (0, 0), (1, 1)]),
        (lambda x: F.max_pool2d(x, 3, stride=2, padding=1), [(-1, 1), (1, 3)]),
        (lambda x: F.avg_pool2d(x, 4), [(0, 3), (4, 7)]),  # the stride of a pooling is its kernel
        (lambda x: F.adaptive_avg_pool2d(x, 3), [(0, 3), (4, 7), (8, 11)]),
        (lambda x: F.interpolate(x, scale_factor=2), [(0, 0), (0, 0), (1, 1)]),
        (lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), [(-1, 0), (0, 1), (0, 1), (1, 2)]),
        (lambda x: F.pad(x, (2, 0, 5, 0)), [(-2, -2), (-1, -1)]),  # left, right, top, bottom
        (lambda x: F.pad(x, (1, 1, 4, 4), mode="reflect"), [(-1, -1), (0, 0)]),
        (lambda x: x[..., 3:], [(3, 3), (4, 4)]),
        (lambda x: x[..., -4:], [(8, 8), (9, 9)]),
        (lambda x: x[..., 1::2], [(1, 1), (3, 3)]),
        (lambda x: F.conv2d(x, x.new_ones(1, 1, 3, 1)).transpose(2, 3), [(0, 2), (1, 3)]),  # the rows' window
        (lambda x: F.conv2d(x, x.new_ones(1, 1, 3, 1)).permute(0, 1, 3, 2), [(0, 2), (1, 3)]),
        (lambda x: x.view(1, 12, 12), [(0, 0), (1, 1)]),
        (lambda x: x.relu() + F.avg_pool2d(x, 3, stride=1, padding=1), [(-1, 1), (0, 2)]),
        (lambda x: torch.cat([x, F.avg_pool2d(x, 3, stride=1, padding=1)], dim=1), [(-1, 1), (0, 2)]),
    ],
)
def test_an_operations_places(function: Callable[[Tensor], Tensor], seen: Seen) -> None:
    reach = last_axis(function)
    assert reach is not None
    assert [reach.at(place) for place in range(len(seen))] == seen


def test_pixels_that_become_channels_and_back() -> None:
    down, up = last_axis(lambda x: F.pixel_unshuffle(x, 2)), last_axis(lambda x: F.pixel_shuffle(x, 2), channels=4)
    assert down is not None
    assert up is not None
    assert [down.at(place) for place in range(2)] == [(0, 1), (2, 3)]
    assert [up.at(place) for place in range(3)] == [(0, 0), (0, 0), (1, 1)]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.adaptive_avg_pool2d(x, (2, 1)),
        lambda x: F.adaptive_avg_pool2d(x, 5),  # no divisor of 12: windows of unequal size
        lambda x: F.interpolate(x, size=(18, 18)),  # one and a half
        lambda x: x.mean(dim=3, keepdim=True),
        lambda x: x.flatten(1),
        lambda x: x.view(1, 1, 6, 24),
    ],
    ids=["one place", "uneven", "fraction", "mean", "flattened", "other shape"],
)
def test_what_has_no_period_sees_the_whole_image(function: Callable[[Tensor], Tensor]) -> None:
    assert last_axis(function) is None


def test_arguments_have_names_and_defaults() -> None:
    arguments = bind_arguments(ATEN.slice.Tensor, ["x", 3], {"step": 2})
    assert arguments == {"self": "x", "dim": 3, "start": None, "end": None, "step": 2}


def test_one_number_is_of_every_axis() -> None:
    weight = torch.empty(1, 1, 3, 5, device="meta")
    arguments = {"weight": weight, "stride": [2], "padding": [1, 2], "dilation": [1]}
    assert window_sizes(arguments) == [
        {"kernel": 3, "stride": 2, "padding": 1, "dilation": 1},
        {"kernel": 5, "stride": 2, "padding": 2, "dilation": 1},
    ]
    pooling = {"kernel_size": [2, 3], "stride": [], "padding": [0]}  # without a stride: the kernel
    assert [size["stride"] for size in window_sizes(pooling)] == [2, 3]


def test_an_input_that_sees_everything_makes_the_sum_see_it() -> None:
    x = torch.empty(1, 1, 8, 8, device="meta")
    here, everywhere = (x, (None, None, WINDOW, WINDOW)), (x, (None, None, WINDOW, None))
    assert propagate("add", {}, [here, here], x) == (None, None, WINDOW, WINDOW)
    assert propagate("add", {}, [here, everywhere], x) == (None, None, WINDOW, None)
    assert propagate("mm", {}, [here, (x[0, 0], (None, None))], x) == (None,) * 4  # of other axes
