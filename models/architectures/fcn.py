"""Fully convolutional networks with max-unpooling.

Noh, Hong, Han, "Learning deconvolution network for semantic segmentation", 2015 (arXiv:1505.04366); the switches are
from Zeiler and Fergus, 2014 (arXiv:1311.2901).
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def windows(x: Tensor) -> Tensor:
    """Splits (N, C, 2h, 2w) into 2 x 2 windows, row by row: (N, C, 4, h, w)."""
    return F.pixel_unshuffle(x, 2).unflatten(1, (-1, 4))


class Switches(nn.Module):
    """Positions of maxima: x (N, C, 2h, 2w) -> (N, C, 4, h, w), 1 for the (first) largest pixel of each window."""

    def forward(self, x: Tensor) -> Tensor:
        places = torch.arange(4, device=x.device)[:, None, None]  # row by row
        return (windows(x).argmax(dim=2, keepdim=True) == places).to(x.dtype)


class Unpool(nn.Module):
    """Max-unpooling: x (N, C, h, w), switches (N, C, 4, h, w) -> (N, C, 2h, 2w), x at the maxima, zero elsewhere.

    Equal to torch's max_unpool2d, but without indices: it exports to ONNX with dynamic height and width and runs
    wherever convolutions do.
    """

    def forward(self, x: Tensor, switches: Tensor) -> Tensor:
        return F.pixel_shuffle((switches * x[:, :, None]).flatten(1, 2), 2)


def stage(*channels: int) -> nn.Sequential:
    """Builds convolutions with batch normalisation and ReLU. (N, channels[0], H, W) -> (N, channels[-1], H, W)."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(channels):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class FCNUnpool(nn.Module):
    """Encoder of convolutions and 2 x 2 maximum pooling, and a mirrored decoder that unpools at the maxima.

    x (N, in_channels, H, W) float -> logits (N, num_classes, H, W), H and W multiples of 2 ** levels. Only the
    switches pass from encoder to decoder. If two pixels of a window are equal up to rounding, a value may move by one
    pixel between devices.

    convolutions: number at each level, from full resolution down. By default VGG-16's thirteen, without the fully
    connected layers between encoder and decoder, as SegNet has it too (Badrinarayanan 2017, arXiv:1511.00561).
    base_width: channels at full resolution, doubled at each level up to max_width.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        convolutions: tuple[int, ...] = (2, 2, 3, 3, 3),
        base_width: int = 64,
        max_width: int = 512,
    ) -> None:
        super().__init__()
        widths = [min(base_width * 2**level, max_width) for level in range(len(convolutions))]
        self.encoder = nn.ModuleList(
            stage(above, *[width] * count) for above, width, count in zip([in_channels, *widths], widths, convolutions)
        )
        self.decoder = nn.ModuleList(
            stage(*[width] * count, above)
            for above, width, count in reversed(list(zip([base_width, *widths], widths, convolutions)))
        )
        self.down = nn.MaxPool2d(2)
        self.switches = Switches()
        self.unpool = Unpool()
        self.head = nn.Conv2d(base_width, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        switches = []
        for encode in self.encoder:
            x = encode(x)  # (N, c, H, W)
            switches.append(self.switches(x))
            x = self.down(x)  # (N, c, H/2, W/2)
        for decode, where in zip(self.decoder, reversed(switches)):
            x = decode(self.unpool(x, where))  # (N, c, H, W)
        return self.head(x)  # (N, num_classes, H, W)
