"""Fully convolutional networks with max-unpooling: Noh, Hong, Han, "Learning deconvolution network for semantic
segmentation", 2015 (arXiv:1505.04366); the switches are Zeiler and Fergus's, 2014 (arXiv:1311.2901)."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def windows(x: Tensor) -> Tensor:
    """(N, C, 2h, 2w) -> (N, C, 4, h, w): the pixels of each 2 x 2 window, row by row."""
    return F.pixel_unshuffle(x, 2).unflatten(1, (-1, 4))


class Switches(nn.Module):
    """x (N, C, 2h, 2w) -> (N, C, 4, h, w): 1 for the largest pixel of each window, the first of equals, else 0."""

    def forward(self, x: Tensor) -> Tensor:
        places = torch.arange(4, device=x.device)[:, None, None]  # row by row
        return (windows(x).argmax(dim=2, keepdim=True) == places).to(x.dtype)


class Unpool(nn.Module):
    """x (N, C, h, w), switches (N, C, 4, h, w) -> (N, C, 2h, 2w): x where the largest pixels were, zero elsewhere.

    The same as torch's max_unpool2d, written without indices into the map: that exports to ONNX with free height and
    width, and runs wherever convolutions do.
    """

    def forward(self, x: Tensor, switches: Tensor) -> Tensor:
        return F.pixel_shuffle((switches * x[:, :, None]).flatten(1, 2), 2)


def stage(*channels: int) -> nn.Sequential:
    """3 x 3 convolutions, each with batch normalisation and ReLU. (N, channels[0], H, W) -> (N, channels[-1], H, W)."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(channels):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class FCNUnpool(nn.Module):
    """An encoder of convolutions and 2 x 2 maximum pooling, and its mirror image, which unpools where the maxima were.

    x (N, in_channels, H, W) float -> logits (N, num_classes, H, W), H and W multiples of 2 ** levels. Nothing but the
    switches crosses from the encoder to the decoder. Where two pixels of a window are equal but for rounding, a value
    may move by a pixel from one device to another.

    convolutions: how many each level has, from full resolution down. By default VGG-16's thirteen, without the fully
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
