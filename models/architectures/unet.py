"""U-Net: Ronneberger, Fischer, Brox, "U-Net: convolutional networks for biomedical image segmentation", 2015."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

Norm = Literal["batch", "group", "none"]


def normalisation(norm: Norm, channels: int) -> nn.Module:
    """Builds a normalisation layer; "group" has up to 32 groups over the whole image (Wu and He 2018)."""
    if norm == "group":
        return nn.GroupNorm(math.gcd(32, channels), channels)
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.Identity()


def double_conv(inputs: int, outputs: int, *, padding: int, norm: Norm) -> nn.Sequential:
    """Builds (3 x 3 convolution, normalisation, ReLU) twice.

    (N, inputs, H, W) -> (N, outputs, H, W), 4 px less if unpadded.
    """
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [
            nn.Conv2d(channels, outputs, 3, padding=padding, bias=norm == "none"),
            normalisation(norm, outputs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def up_conv(below: int, width: int, *, up: Literal["transposed", "bilinear"]) -> nn.Module:
    """Builds an up-convolution (N, below, H, W) -> (N, width, 2H, 2W): the paper's 2 x 2, or without checkerboard."""
    if up == "transposed":
        return nn.ConvTranspose2d(below, width, 2, stride=2)
    return nn.Sequential(nn.Conv2d(below, width, 1), nn.Upsample(scale_factor=2, mode="bilinear"))


def trim(x: Tensor, margin: int) -> Tensor:
    """Crops (N, C, H, W) to its middle, (N, C, H - 2 margin, W - 2 margin)."""
    return x[:, :, margin : x.shape[2] - margin, margin : x.shape[3] - margin]


class UNet(nn.Module):
    """A contracting and an expanding path with skip connections (arXiv:1505.04597).

    x (N, in_channels, H, W) float -> logits (N, num_classes, H, W), H and W multiples of 2 ** depth. With valid
    convolutions the borders are lost, as in the paper: 572 x 572 -> 388 x 388 at depth 4.

    depth: number of times the resolution is halved. base_width: channels at full resolution, doubled per level up to
    max_width (the cap is nnU-Net's, Isensee 2021). up: "bilinear" interpolates the output of a 1 x 1 convolution. norm:
    with "group" every pixel depends on the whole image, so the network cannot run in tiles. dropout: at the end of the
    contracting path. 31,030,658 parameters as in the paper (one channel, two classes, no normalisation), 31,036,546
    with batch normalisation.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        depth: int = 4,
        base_width: int = 64,
        max_width: int = 1024,
        convolutions: Literal["same", "valid"] = "same",
        up: Literal["transposed", "bilinear"] = "transposed",
        norm: Norm = "batch",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        padding = 1 if convolutions == "same" else 0
        widths = [min(base_width * 2**level, max_width) for level in range(depth + 1)]
        self.down = nn.MaxPool2d(2)
        self.encoder = nn.ModuleList(
            double_conv(inputs, outputs, padding=padding, norm=norm)
            for inputs, outputs in zip([in_channels, *widths], widths[:-1])
        )
        self.bottom = double_conv(widths[-2], widths[-1], padding=padding, norm=norm)
        self.dropout = nn.Dropout(dropout)
        upward = list(zip(widths[:-1], widths[1:]))[::-1]  # (width of a level, width of the level below it)
        self.ups = nn.ModuleList(up_conv(below, width, up=up) for width, below in upward)
        self.decoder = nn.ModuleList(double_conv(2 * width, width, padding=padding, norm=norm) for width, _ in upward)
        # Valid convolutions lose 2 px each; the loss below a level doubles on the way up: 4, 16, 40, 88 px a side.
        lost = 0 if convolutions == "same" else 2
        # Interpolation invents a pixel at the edge of a map, which a valid network must crop.
        self.invented = 1 if (convolutions, up) == ("valid", "bilinear") else 0
        self.margins = [2 * lost + self.invented]
        for _ in range(depth - 1):
            self.margins.append(2 * (2 * lost + self.margins[-1]) + self.invented)
        self.head = nn.Conv2d(base_width, num_classes, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight)  # as the paper's section 3: a deviation of sqrt(2 / inputs)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for encode in self.encoder:
            x = encode(x)  # (N, c, H, W)
            skips.append(x)
            x = self.down(x)  # (N, c, H/2, W/2)
        x = self.dropout(self.bottom(x))
        for up, decode, skip, margin in zip(self.ups, self.decoder, reversed(skips), self.margins):
            x = trim(up(x), self.invented)  # (N, c, H, W)
            x = decode(torch.cat([trim(skip, margin), x], dim=1))  # (N, 2c, H, W) -> (N, c, H, W)
        return self.head(x)  # (N, num_classes, H, W)
