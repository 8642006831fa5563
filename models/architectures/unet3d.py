"""3-D U-Net: Çiçek and others, "3D U-Net: learning dense volumetric segmentation from sparse annotation", 2016.

arXiv:1606.06650.
"""

from typing import Literal

import torch
from torch import Tensor, nn


def double_conv(*channels: int, padding: int) -> nn.Sequential:
    """Builds 3 x 3 x 3 convolutions with batch normalisation and ReLU.

    (N, channels[0], D, H, W) -> (N, channels[-1], D, H, W).
    """
    layers: list[nn.Module] = []
    for inputs, outputs in zip(channels, channels[1:]):
        convolution = nn.Conv3d(inputs, outputs, 3, padding=padding, bias=False)
        layers += [convolution, nn.BatchNorm3d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def trim(x: Tensor, margin: int) -> Tensor:
    """Crops `margin` voxels on each side of (N, C, D, H, W)."""
    depth, height, width = (slice(margin, side - margin) for side in x.shape[2:])
    return x[:, :, depth, height, width]


class UNet3D(nn.Module):
    """U-Net for volumes; channels double before each pooling, which avoids bottlenecks.

    x (N, in_channels, D, H, W) float -> logits (N, num_classes, D, H, W), sides multiples of 2 ** depth. With valid
    convolutions, the paper's, the borders are lost: 132 x 132 x 116 -> 44 x 44 x 28.

    depth: number of times the resolution is halved. base_width: channels of the first convolution. 19,072,291
    parameters for three channels and three classes: the paper's 19,069,955 and the scales of its batch normalisation.
    """

    dimensions = 3

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        depth: int = 3,
        base_width: int = 32,
        convolutions: Literal["same", "valid"] = "same",
    ) -> None:
        super().__init__()
        padding, lost = (1, 0) if convolutions == "same" else (0, 2)
        widths = [base_width * 2**level for level in range(1, depth + 2)]  # of each level's second convolution
        self.down = nn.MaxPool3d(2)
        self.encoder = nn.ModuleList(
            double_conv(above, width // 2, width, padding=padding)
            for above, width in zip([in_channels, *widths], widths[:-1])
        )
        self.bottom = double_conv(widths[-2], widths[-1] // 2, widths[-1], padding=padding)
        upward = list(zip(widths[:-1], widths[1:]))[::-1]  # (width of a level, width of the level below it)
        self.ups = nn.ModuleList(nn.ConvTranspose3d(below, below, 2, stride=2, bias=False) for _, below in upward)
        self.decoder = nn.ModuleList(
            double_conv(width + below, width, width, padding=padding) for width, below in upward
        )
        self.margins = [2 * lost]
        for _ in range(depth - 1):
            self.margins.append(2 * (2 * lost + self.margins[-1]))
        self.head = nn.Conv3d(widths[0], num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for encode in self.encoder:
            x = encode(x)  # (N, c, D, H, W)
            skips.append(x)
            x = self.down(x)  # (N, c, D/2, H/2, W/2)
        x = self.bottom(x)
        for up, decode, skip, margin in zip(self.ups, self.decoder, reversed(skips), self.margins):
            x = decode(torch.cat([trim(skip, margin), up(x)], dim=1))  # (N, c + 2c, D, H, W) -> (N, c, D, H, W)
        return self.head(x)  # (N, num_classes, D, H, W)
