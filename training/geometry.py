"""What a network's layers fix: its stride, receptive field and the image sizes it takes. Computed, not typed in."""

import copy
import itertools
from typing import Any

import torch
from torch import Tensor, nn

from models.geometry import Geometry, halo_of
from training.layers import trace
from training.mistakes import RecipeError
from training.reach import Reach

STRIDED = (nn.Conv1d, nn.Conv2d, nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d)
_MOST = 2048  # px a side
IMAGE_NORMS = (nn.GroupNorm, nn.InstanceNorm2d)  # their statistics are the whole image's


def of_classifier(network: Any, *, in_channels: int, size: int) -> Geometry:
    """Of a classifier's `features`, the layers before its head: (N, in_channels, size, size) -> (N, K, h, w).

    Those of a network of signals take (N, in_channels, size). ValueError: their output sees the whole image.
    """
    reach = _reach(_Features(network), in_channels, *[size] * getattr(network, "dimensions", 2))
    first, last = reach.at(0)
    stride = reach.at(1)[0] - first
    return Geometry(stride, reach.field, halo=0, border=0, min_size=size, step=1, origin=(first + last) / 2)


def of_segmenter(network: nn.Module, *, in_channels: int) -> Geometry:
    """Of x (N, in_channels, H, W) -> (N, K, H - 2 border, W - 2 border).

    The receptive field of a network that halves and doubles depends on where in a block a pixel lies: the largest is
    taken. ValueError: its output sees the whole image.
    """
    shapes = _on_meta(network)
    min_size, step = _sizes(shapes, in_channels)
    border = (min_size - shapes(torch.empty(1, in_channels, min_size, min_size, device="meta")).shape[2]) // 2
    reach = _reach(network, in_channels, min_size + step, min_size + step)
    spans = [reach.at(place) for place in range(step)]
    first, last = min(first for first, _ in spans), max(last for _, last in spans)
    halo = 0 if border else halo_of(first, last, step=step)
    whole = any(isinstance(module, IMAGE_NORMS) for module in network.modules())
    return Geometry(step, reach.field, halo, border, min_size, step, reach="image" if whole else "local")


def sees_whole_map(network: nn.Module) -> bool:
    """Whether a classifier's head tells the places of its last map apart, as dense layers do; a mean cannot."""
    return "cam" not in getattr(network, "cam_methods", ("cam",)) or bool(getattr(network, "aligned", None))


class _Features(nn.Module):
    """A classifier that ends before its head."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network.features(x)  # type: ignore[no-any-return]


def _on_meta(network: nn.Module) -> nn.Module:
    """A copy that computes shapes and no numbers."""
    return copy.deepcopy(network).to("meta", torch.float32).eval()


def _reach(network: nn.Module, *shape: int) -> Reach:
    """What each row of the output for an image of this shape (channels, ...) sees."""
    reach = trace(_on_meta(network), shape=shape)[-1].axes[2]
    if reach is None:
        raise RecipeError("Each place of the network's output sees the whole image: it has no receptive field in px.")
    return reach


def _sizes(network: nn.Module, in_channels: int) -> tuple[int, int]:
    """The smallest size, and the distance to the next, at which no strided layer leaves a pixel over."""
    fitting = [*itertools.islice((side for side in range(1, _MOST) if _fits(network, in_channels, side)), 2)]
    if len(fitting) < 2:
        raise RecipeError(
            f"There is no size below {_MOST} px at which every layer of the network gives a whole answer."
        )
    return fitting[0], fitting[1] - fitting[0]


def _fits(network: nn.Module, in_channels: int, side: int) -> bool:
    whole: list[bool] = []

    def check(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        stride = layer.stride if isinstance(layer.stride, int) else layer.stride[0]  # type: ignore[index]
        whole.append(inputs[0].shape[2] % int(stride) == 0)

    handles = [layer.register_forward_hook(check) for layer in network.modules() if isinstance(layer, STRIDED)]
    try:
        network(torch.empty(1, in_channels, side, side, device="meta"))
    except (
        RuntimeError,
        ValueError,
    ):  # torch's answers to a map without a pixel left, and to one too small to normalise
        return False
    finally:
        for handle in handles:
            handle.remove()
    return all(whole)
