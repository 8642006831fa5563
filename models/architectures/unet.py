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


def trim(x: Tensor, margin: int) -> Tensor:
    """(N, C, H, W) -> (N, C, H - 2 margin, W - 2 margin), its middle."""
    return x[:, :, margin : x.shape[2] - margin, margin : x.shape[3] - margin]


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
        # What valid convolutions lose below a level, 2 px each, has doubled when it comes up: 4, 16, 40, 88 px a side.
        lost = 0 if convolutions == "same" else 2
        self.margins = [2 * lost]
        for _ in range(depth - 1):
            self.margins.append(2 * (2 * lost + self.margins[-1]))
        self.head = nn.Conv2d(base_width, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for encode in self.encoder:
            x = encode(x)  # (N, c, H, W)
            skips.append(x)
            x = self.down(x)  # (N, c, H/2, W/2)
        x = self.bottom(x)
        for up, decode, skip, margin in zip(self.ups, self.decoder, reversed(skips), self.margins):
            x = decode(torch.cat([trim(skip, margin), up(x)], dim=1))  # (N, 2c, H, W) -> (N, c, H, W)
        return self.head(x)  # (N, num_classes, H, W)
