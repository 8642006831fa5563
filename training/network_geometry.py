"""Geometry of a network, computed from its layers: stride, receptive field, halo and the sizes that it takes."""

import copy
import itertools
from typing import Any

import torch
from torch import Tensor, nn

from models.geometry import Geometry, halo_of
from training.layer_trace import trace
from training.receptive_field import Reach
from training.user_errors import RecipeError

STRIDED = (nn.Conv1d, nn.Conv2d, nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d)
MAX_SIDE_PX = 2048  # px a side
IMAGE_NORMS = (nn.GroupNorm, nn.InstanceNorm2d)  # their statistics are the whole image's


def classifier_geometry(network: Any, *, in_channels: int, size: int) -> Geometry:
    """Returns the geometry of a classifier's `features`, the layers before its head.

    They map (N, in_channels, size, size) to (N, K, h, w); for signals, (N, in_channels, size) to (N, K, l). Raises
    RecipeError if each output sees the whole image.
    """
    reach = _reach(_Features(network), in_channels, *[size] * getattr(network, "dimensions", 2))
    first, last = reach.at(0)
    stride = reach.at(1)[0] - first
    return Geometry(stride, reach.field, halo=0, border=0, min_size=size, step=1, origin=(first + last) / 2)


def segmenter_geometry(network: nn.Module, *, in_channels: int) -> Geometry:
    """Returns the geometry of a segmenter, (N, in_channels, H, W) -> (N, K, H - 2 border, W - 2 border).

    If a network halves and doubles the resolution, the receptive field depends on the pixel's place in a block; this is
    the largest. Raises RecipeError if each output sees the whole image.
    """
    shapes = _on_meta(network)
    min_size, step = _sizes(shapes, in_channels)
    border = (min_size - shapes(torch.empty(1, in_channels, min_size, min_size, device="meta")).shape[2]) // 2
    reach = _reach(network, in_channels, min_size + step, min_size + step)
    spans = [reach.at(place) for place in range(step)]
    first, last = min(first for first, _ in spans), max(last for _, last in spans)
    halo = 0 if border else halo_of(first, last, step=step)
    sees_image = any(isinstance(module, IMAGE_NORMS) for module in network.modules())
    return Geometry(step, reach.field, halo, border, min_size, step, reach="image" if sees_image else "local")


def head_sees_whole_map(network: nn.Module) -> bool:
    """Tells whether a classifier's head distinguishes places of its last map: dense layers do, a mean does not."""
    return "cam" not in getattr(network, "cam_methods", ("cam",)) or bool(getattr(network, "aligned", None))


class _Features(nn.Module):
    """A classifier that ends before its head."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network.features(x)  # type: ignore[no-any-return]


def _on_meta(network: nn.Module) -> nn.Module:
    """Returns a copy that computes shapes only."""
    return copy.deepcopy(network).to("meta", torch.float32).eval()


def _reach(network: nn.Module, *shape: int) -> Reach:
    """Returns the reach of each output row, for an image of this shape (channels, ...)."""
    reach = trace(_on_meta(network), shape=shape)[-1].axes[2]
    if reach is None:
        raise RecipeError("Each output of the network sees the whole image, so it has no receptive field in px.")
    return reach


def _sizes(network: nn.Module, in_channels: int) -> tuple[int, int]:
    """Returns the smallest size at which strides divide evenly, and the distance to the next."""
    fitting = [*itertools.islice((side for side in range(1, MAX_SIDE_PX) if _fits(network, in_channels, side)), 2)]
    if len(fitting) < 2:
        raise RecipeError(f"No size below {MAX_SIDE_PX} px is divisible by every stride of the network.")
    return fitting[0], fitting[1] - fitting[0]


def _fits(network: nn.Module, in_channels: int, side: int) -> bool:
    fits: list[bool] = []

    def check(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        stride = layer.stride if isinstance(layer.stride, int) else layer.stride[0]  # type: ignore[index]
        fits.append(inputs[0].shape[2] % int(stride) == 0)

    handles = [layer.register_forward_hook(check) for layer in network.modules() if isinstance(layer, STRIDED)]
    try:
        network(torch.empty(1, in_channels, side, side, device="meta"))
    except (
        RuntimeError,
        ValueError,
    ):  # an empty map, or one too small to normalise
        return False
    finally:
        for handle in handles:
            handle.remove()
    return all(fits)
