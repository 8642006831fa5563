"""VGG: Simonyan, Zisserman, "Very deep convolutional networks for large-scale image recognition", 2015."""

from typing import Any, Literal

from torch import Tensor, nn

from models.architectures.cam_head import DenseHeadCam

Norm = Literal["batch", "none"]


def stage(inputs: int, outputs: int, *, count: int, norm: Norm) -> list[nn.Module]:
    """Builds `count` 3 x 3 convolutions and a pooling. (N, inputs, H, W) -> (N, outputs, H/2, W/2)."""
    layers: list[nn.Module] = []
    for channels in (inputs, *[outputs] * (count - 1)):
        layers += [nn.Conv2d(channels, outputs, 3, padding=1)]
        layers += [nn.BatchNorm2d(outputs)] if norm == "batch" else []
        layers += [nn.ReLU(inplace=True)]
    return [*layers, nn.MaxPool2d(2)]


class VGG16(DenseHeadCam, nn.Module):
    """VGG-16, configuration D of table 1 (arXiv:1409.1556), under torchvision's parameter names.

    x (N, in_channels, H, W) float, 224 px in the paper -> logits (N, num_classes). 138,357,544 parameters for three
    channels and 1,000 classes, of which 123,642,856 are the dense layers'. width: channels of the first stage;
    hidden: units of each hidden dense layer. Other sizes are pooled to 7 x 7 before them.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        norm: Norm = "none",
        width: int = 64,
        hidden: int = 4096,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *stage(in_channels, width, count=2, norm=norm),  # (N, width, H/2, W/2)
            *stage(width, 2 * width, count=2, norm=norm),  # (N, 2 width, H/4, W/4)
            *stage(2 * width, 4 * width, count=3, norm=norm),  # (N, 4 width, H/8, W/8)
            *stage(4 * width, 8 * width, count=3, norm=norm),  # (N, 8 width, H/16, W/16)
            *stage(8 * width, 8 * width, count=3, norm=norm),  # (N, 8 width, H/32, W/32)
        )
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            nn.Linear(8 * width * 7 * 7, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, num_classes),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                # He 2015 trains sixteen layers from random weights; the paper started from shallower networks.
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))  # (N, num_classes)

    def head(self, features: Tensor) -> Tensor:
        """Computes logits (N, num_classes) of features (N, 8 width, h, w)."""
        return self.classifier(self.avgpool(features).flatten(1))


class VGG16BN(VGG16):
    """VGG-16 with batch normalisation. 138,365,992 parameters for three channels and 1,000 classes."""

    def __init__(self, in_channels: int, num_classes: int, **options: Any) -> None:
        super().__init__(in_channels, num_classes, norm="batch", **options)
