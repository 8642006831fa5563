"""What a network's layers fix: its stride, receptive field and the image sizes it takes. Computed, not typed in."""

import copy
import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

STRIDED = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)


@dataclass(frozen=True, slots=True)
class Geometry:
    """All in px. The sizes that the network takes are min_size + k * step.

    halo: how far beyond a block of stride x stride pixels its receptive field reaches, rounded up to the stride.
    border: what valid convolutions lose on each side. origin: where the map's first pixel is centred, counted from the
    centre of the input's first.
    """

    stride: int
    receptive_field: int
    halo: int
    border: int
    min_size: int
    step: int
    origin: float = 0.0


def of_classifier(network: nn.Module, *, in_channels: int, size: int, far: int = 1536) -> Geometry:
    """Of a classifier's `features`, the layers before its head: (N, in_channels, size, size) -> (N, K, h, w).

    far: px, more than any receptive field.
    """
    features = _all_positive(network).features
    tall = torch.zeros(1, in_channels, far, size)
    centre = features(tall.double()).shape[2] // 2
    (first, last), (following, _) = _support(features, tall, row=centre), _support(features, tall, row=centre + 1)
    stride = following - first
    origin = (first + last) / 2 - centre * stride
    return Geometry(stride, last - first + 1, halo=0, border=0, min_size=size, step=1, origin=origin)


def of_segmenter(network: nn.Module, *, in_channels: int, far: int = 512) -> Geometry:
    """Of x (N, in_channels, H, W) -> (N, K, H - 2 border, W - 2 border).

    The receptive field of a network that halves and doubles depends on where in a block a pixel lies: the largest is
    taken.
    """
    probe = _all_positive(network)
    min_size, step = _sizes(probe, in_channels)
    lost = min_size - probe(torch.zeros(1, in_channels, min_size, min_size, dtype=torch.float64)).shape[2]
    border = lost // 2
    height = min_size + -(-far // step) * step
    block = height // 2 // step * step
    fields = [
        _support(probe, torch.zeros(1, in_channels, height, min_size + step), row=row)
        for row in range(block, block + step)
    ]
    reach = max(max(block - first, last - (block + step - 1)) for first, last in fields)
    field = max(last - first + 1 for first, last in fields)
    halo = 0 if border else -(-reach // step) * step
    return Geometry(step, field, halo, border, min_size, step)


def _all_positive(network: nn.Module) -> nn.Module:
    """A copy in which no term can vanish or cancel: every gradient that can flow is positive."""
    probe = copy.deepcopy(network).double().eval()
    for name, module in list(probe.named_modules()):
        if isinstance(module, nn.MaxPool2d):  # the maximum's gradient would reach one pixel only
            parent = probe.get_submodule(name.rpartition(".")[0])
            setattr(parent, name.rpartition(".")[2], nn.AvgPool2d(module.kernel_size, module.stride, module.padding))
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
    with torch.no_grad():
        for parameter in probe.parameters():
            parameter.fill_(1.0 / max(1, parameter[0].numel()))
    return probe


def _support(probe: Callable[[Tensor], Tensor], like: Tensor, *, row: int) -> tuple[int, int]:
    """First and last input row that changes the map's `row`."""
    x = torch.ones_like(like, dtype=torch.float64, requires_grad=True)
    maps = probe(x)  # (1, K, h, w)
    maps[:, :, row].sum().backward()
    assert x.grad is not None
    rows = torch.nonzero(x.grad.sum(dim=(0, 1, 3)))[:, 0]
    return int(rows[0]), int(rows[-1])


def _sizes(probe: nn.Module, in_channels: int) -> tuple[int, int]:
    """The smallest size, and the distance to the next, at which no strided layer leaves a pixel over."""
    fitting = (side for side in itertools.count(1) if _fits(probe, in_channels, side))
    smallest = next(fitting)
    return smallest, next(fitting) - smallest


def _fits(probe: nn.Module, in_channels: int, side: int) -> bool:
    whole: list[bool] = []

    def check(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        stride = layer.stride if isinstance(layer.stride, int) else layer.stride[0]  # type: ignore[index]
        whole.append(inputs[0].shape[2] % int(stride) == 0)

    handles = [layer.register_forward_hook(check) for layer in probe.modules() if isinstance(layer, STRIDED)]
    try:
        probe(torch.zeros(1, in_channels, side, side, dtype=torch.float64))
    except RuntimeError:  # torch's answer to a map that has no pixel left
        return False
    finally:
        for handle in handles:
            handle.remove()
    return all(whole)
