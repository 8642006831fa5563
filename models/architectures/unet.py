"""U-Net: Ronneberger, Fischer, Brox, "U-Net: convolutional networks for biomedical image segmentation", 2015."""

from typing import Literal

import torch
from torch import Tensor, nn


def double_conv(inputs: int, outputs: int, *, padding: int, norm: Literal["batch", "none"]) -> nn.Sequential:
    """Twice 3 x 3 convolution, normalisation, ReLU. (N, inputs, H, W) -> (N, outputs, H, W), 4 px less if unpadded."""
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [
            nn.Conv2d(channels, outputs, 3, padding=padding, bias=norm == "none"),
            nn.BatchNorm2d(outputs) if norm == "batch" else nn.Identity(),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def crop_like(skip: Tensor, x: Tensor) -> Tensor:
    """The centre of skip (N, C, H, W), as high and wide as x: what valid convolutions leave of the encoder's map."""
    top, left = (skip.shape[2] - x.shape[2]) // 2, (skip.shape[3] - x.shape[3]) // 2
    return skip[:, :, top : top + x.shape[2], left : left + x.shape[3]]


class UNet(nn.Module):
    """A contracting and an expanding path joined by skips (arXiv:1505.04597).

    x (N, in_channels, H, W) float -> logits (N, num_classes, H, W), H and W multiples of 2 ** depth. With valid
    convolutions the borders are lost, as in the paper: 572 x 572 -> 388 x 388 at depth 4.

    depth: how often the resolution is halved. base_width: channels at full resolution, doubled at each level up to
    max_width (the cap is nnU-Net's, Isensee 2021). 31,030,658 parameters as in the paper (one channel, two classes,
    no normalisation), 31,036,546 with batch normalisation.
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
        norm: Literal["batch", "none"] = "batch",
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
        upward = list(zip(widths[:-1], widths[1:]))[::-1]  # (width of a level, width of the level below it)
        self.ups = nn.ModuleList(nn.ConvTranspose2d(below, width, 2, stride=2) for width, below in upward)
        self.decoder = nn.ModuleList(double_conv(2 * width, width, padding=padding, norm=norm) for width, _ in upward)
        self.head = nn.Conv2d(base_width, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for encode in self.encoder:
            x = encode(x)  # (N, c, H, W)
            skips.append(x)
            x = self.down(x)  # (N, c, H/2, W/2)
        x = self.bottom(x)
        for up, decode, skip in zip(self.ups, self.decoder, reversed(skips)):
            x = up(x)  # (N, c, H, W)
            x = decode(torch.cat([crop_like(skip, x), x], dim=1))  # (N, 2c, H, W) -> (N, c, H, W)
        return self.head(x)  # (N, num_classes, H, W)
