"""Densely connected networks: Huang, Liu, van der Maaten, Weinberger, 2017 (arXiv:1608.06993)."""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.architectures.cam_head import classify_with_map


class DenseLayer(nn.Module):
    """Dense layer: x (N, inputs, H, W) -> (N, inputs + growth, H, W), x itself and the output of a bottleneck."""

    def __init__(self, inputs: int, *, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        new = self.conv1(F.relu(self.norm1(x)))  # (N, 4 growth, H, W)
        new = self.conv2(F.relu(self.norm2(new)))  # (N, growth, H, W)
        return torch.cat([x, new], dim=1)


def dense_block(inputs: int, *, count: int, growth: int) -> nn.Sequential:
    """Builds a dense block: (N, inputs, H, W) -> (N, inputs + count * growth, H, W)."""
    layers = (DenseLayer(inputs + i * growth, growth=growth) for i in range(count))
    return nn.Sequential(OrderedDict((f"denselayer{i}", layer) for i, layer in enumerate(layers, start=1)))


def transition(inputs: int) -> nn.Sequential:
    """Builds a transition: (N, inputs, H, W) -> (N, inputs / 2, H/2, W/2)."""
    return nn.Sequential(
        OrderedDict(
            norm=nn.BatchNorm2d(inputs),
            relu=nn.ReLU(inplace=True),
            conv=nn.Conv2d(inputs, inputs // 2, 1, bias=False),
            pool=nn.AvgPool2d(2),
        )
    )


class DenseNet121(nn.Module):
    """DenseNet-121 under torchvision's parameter names, so that its checkpoints load; CheXNet's network.

    x (N, in_channels, H, W) float -> logits (N, num_classes); the class activation map is (N, num_classes, H/32, W/32).
    7,978,856 parameters for three channels and 1,000 classes. growth: channels that each layer adds; blocks: layers
    of each dense block.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        growth: int = 32,
        blocks: tuple[int, ...] = (6, 12, 24, 16),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        width = 2 * growth
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            conv0=nn.Conv2d(in_channels, width, 7, stride=2, padding=3, bias=False),
            norm0=nn.BatchNorm2d(width),
            relu0=nn.ReLU(inplace=True),
            pool0=nn.MaxPool2d(3, stride=2, padding=1),
        )
        for i, count in enumerate(blocks, start=1):
            layers[f"denseblock{i}"] = dense_block(width, count=count, growth=growth)
            width += count * growth
            if i < len(blocks):
                layers[f"transition{i}"] = transition(width)
                width //= 2
        layers[f"norm{len(blocks) + 1}"] = nn.BatchNorm2d(width)
        layers[f"relu{len(blocks) + 1}"] = nn.ReLU(inplace=True)
        self.features = nn.Sequential(layers)
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Linear(width, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_with_cam(x)[0]  # (N, num_classes)

    def forward_with_cam(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Computes logits (N, C) and cam (N, C, h, w); each logit is the mean of its map plus a bias."""
        return classify_with_map(self.dropout(self.features(x)), self.classifier)
