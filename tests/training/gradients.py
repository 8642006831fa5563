"""Receptive fields as gradients show them: what the arithmetic on a network's layers must agree with."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from models.architectures.fcn import Switches, windows

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def classifier_geometry(network: nn.Module, *, in_channels: int, size: int, far: int = 2560) -> tuple[int, int, float]:
    """Receptive field, stride and origin of its `features`, in px. far: px, more than the receptive field."""
    features = _all_positive(network).features
    tall = torch.zeros(1, in_channels, far, *[size] * (getattr(network, "dimensions", 2) - 1))
    centre = features(tall.double()).shape[2] // 2
    (first, last), (following, _) = _support(features, tall, row=centre), _support(features, tall, row=centre + 1)
    stride = following - first
    return last - first + 1, stride, (first + last) / 2 - centre * stride


def segmenter_geometry(network: nn.Module, *, in_channels: int, size: int, step: int) -> tuple[int, int]:
    """Receptive field and how far it reaches beyond a block of step x step pixels, each the largest. size: px."""
    probe = _all_positive(network)
    block = size // 2 // step * step
    like = torch.zeros(1, in_channels, size, size)
    fields = [_support(probe, like, row=row) for row in range(block, block + step)]
    reach = max(max(block - first, last - (block + step - 1)) for first, last in fields)
    return max(last - first + 1 for first, last in fields), reach


def _all_positive(network: nn.Module) -> nn.Module:
    """A copy in which no term can vanish or cancel: every gradient that can flow is positive."""
    probe = copy.deepcopy(network).double().eval()
    for name, module in list(probe.named_modules()):
        parent, _, attribute = name.rpartition(".")
        if name:
            setattr(probe.get_submodule(parent), attribute, _positive(module))
    with torch.no_grad():
        for parameter in probe.parameters():
            parameter.fill_(1.0 / max(1, parameter[0].numel()))
    return probe


class _AnySwitch(nn.Module):
    """In place of Switches: each may be on, and depends on its whole window."""

    def forward(self, x: Tensor) -> Tensor:
        found = windows(x)
        return found.mean(dim=2, keepdim=True).expand_as(found)


def _positive(module: nn.Module) -> nn.Module:
    """What sees the same pixels as a layer, each with a positive weight."""
    if isinstance(module, nn.MaxPool1d | nn.MaxPool2d):  # the maximum's gradient would reach one pixel only
        average = nn.AvgPool1d if isinstance(module, nn.MaxPool1d) else nn.AvgPool2d
        return average(module.kernel_size, module.stride, module.padding)
    if isinstance(module, Switches):
        return _AnySwitch()
    if isinstance(module, BATCH_NORMS):
        module.reset_running_stats()
    return module


def _support(probe: Callable[[Tensor], Tensor], like: Tensor, *, row: int) -> tuple[int, int]:
    """First and last input row that changes the map's `row`."""
    x = torch.ones_like(like, dtype=torch.float64, requires_grad=True)
    maps = probe(x)  # (1, K, h, w)
    maps[:, :, row].sum().backward()
    assert x.grad is not None
    rows = torch.nonzero(x.grad.transpose(0, 2).flatten(1).sum(dim=1))[:, 0]
    return int(rows[0]), int(rows[-1])
