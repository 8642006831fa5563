"""Networks for signals and one-hot sequences (N, C, L), with class activation maps along the signal."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def classify_with_map(features: Tensor, fc: nn.Linear) -> tuple[Tensor, Tensor]:
    """Applies a linear head and returns its class activation maps: logits = mean(cam) + bias.

    features (N, K, l) float -> logits (N, C), cam (N, C, l). fc of K inputs is global average pooling (Zhou 2016; for
    signals Wang 2017, arXiv:1611.06455); fc of K * l inputs has separate weights for each position.
    """
    wide = torch.promote_types(
        features.dtype, torch.float32
    )  # half precision ends here: the sum of many numbers needs more digits
    weight = fc.weight.unflatten(1, (features.shape[1], -1)).to(wide)  # (C, K, 1 or l)
    cam = weight.shape[2] * (features[:, None].to(wide) * weight).sum(dim=2)  # (N, C, l)
    return cam.mean(dim=2) + fc.bias, cam


class SignalNetwork(nn.Module):
    """Base class: x (N, in_channels, L) float -> `features` (N, K, l) -> `fc` -> logits (N, num_classes)."""

    dimensions = 1
    features: nn.Module
    dropout: nn.Module
    fc: nn.Linear

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_with_cam(x)[0]  # (N, num_classes)

    def forward_with_cam(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Computes logits (N, C) and cam (N, C, l); each logit is the mean of its map plus a bias."""
        return classify_with_map(self.dropout(self.features(x)), self.fc)


class CNN1d(SignalNetwork):
    """Stages of convolution, batch normalisation, ReLU and 2 to 1 maximum pooling, one for each of `widths`.

    kernel: samples per convolution; an odd number keeps the length. The map has L / 2 ** (stages - 1) positions: the
    last stage has no pooling. aligned: length of signals aligned to a site, whose positions correspond; the head then
    has weights for each position. None averages over positions.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        widths: tuple[int, ...] = (64, 128, 256),
        kernel: int = 7,
        aligned: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in zip([in_channels, *widths], widths):
            layers += [nn.MaxPool1d(2)] if layers else []
            layers.append(nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2, bias=False))
            layers += [nn.BatchNorm1d(outputs), nn.ReLU(inplace=True)]
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout1d(dropout)
        self.aligned = aligned
        places = aligned // 2 ** (len(widths) - 1) if aligned else 1
        self.fc = nn.Linear(widths[-1] * places, num_classes)


class ResidualBlock1d(nn.Module):
    """Two convolutions and a shortcut. x (N, inputs, L) -> (N, outputs, L / stride)."""

    def __init__(self, inputs: int, outputs: int, *, stride: int, kernel: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm1d(outputs)
        self.conv2 = nn.Conv1d(outputs, outputs, kernel, padding=kernel // 2, bias=False)
        self.bn2 = nn.BatchNorm1d(outputs)
        nn.init.zeros_(self.bn2.weight)  # each block starts as its shortcut (Goyal 2017, section 5.1)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv1d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm1d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


class ResNet1d(SignalNetwork):
    """ResNet-18's plan (He 2016) along one axis: four stages of two blocks, channels doubled and length halved by each.

    The map is (N, num_classes, L/32), or L/8 with stem "small", one convolution of stride 1 for signals of a few
    hundred samples. kernel: samples per convolution of a block. 3,846,469 parameters for one channel and five
    classes.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        blocks: tuple[int, ...] = (2, 2, 2, 2),
        width: int = 64,
        kernel: int = 3,
        stem: Literal["long", "small"] = "long",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        size, stride = (7, 2) if stem == "long" else (kernel, 1)
        layers: list[nn.Module] = [
            nn.Conv1d(in_channels, width, size, stride=stride, padding=size // 2, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(inplace=True),
        ]
        if stem == "long":
            layers.append(nn.MaxPool1d(3, stride=2, padding=1))
        inputs = width
        for stage, count in enumerate(blocks):
            outputs = width * 2**stage
            for i in range(count):
                stride = 2 if stage and i == 0 else 1
                layers.append(ResidualBlock1d(inputs, outputs, stride=stride, kernel=kernel))
                inputs = outputs
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout1d(dropout)
        self.fc = nn.Linear(inputs, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv1d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
