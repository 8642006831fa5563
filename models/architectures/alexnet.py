"""AlexNet: Krizhevsky, Sutskever, Hinton, "ImageNet classification with deep convolutional neural networks", 2012."""

from torch import Tensor, nn

from models.architectures.cam_head import DenseHeadCam


def normalisation() -> nn.LocalResponseNorm:
    """Builds section 3.3's normalisation: b_i = a_i / (2 + 1e-4 * sum of the five nearest channels' a_j^2) ^ 0.75."""
    return nn.LocalResponseNorm(5, alpha=5 * 1e-4, beta=0.75, k=2.0)  # torch divides alpha by the number of channels


def dense_layers(inputs: int, hidden: int, num_classes: int, *, dropout: float) -> nn.Sequential:
    """Builds the dense layers: (N, inputs) -> (N, num_classes)."""
    return nn.Sequential(
        nn.Dropout(dropout),
        nn.Linear(inputs, hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, num_classes),
    )


class AlexNet(DenseHeadCam, nn.Module):
    """AlexNet as published: local response normalisation, and second, fourth and fifth convolutions in two halves.

    x (N, in_channels, H, W) float, 224 px in the paper -> logits (N, num_classes). 60,965,224 parameters for three
    channels and 1,000 classes. hidden: units of each hidden dense layer. Other sizes are pooled to 6 x 6 before them.
    """

    def __init__(self, in_channels: int, num_classes: int, *, hidden: int = 4096, dropout: float = 0.5) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 96, 11, stride=4, padding=2),  # (N, 96, 55, 55)
            nn.ReLU(),
            normalisation(),
            nn.MaxPool2d(3, stride=2),  # (N, 96, 27, 27)
            nn.Conv2d(96, 256, 5, padding=2, groups=2),  # (N, 256, 27, 27)
            nn.ReLU(),
            normalisation(),
            nn.MaxPool2d(3, stride=2),  # (N, 256, 13, 13)
            nn.Conv2d(256, 384, 3, padding=1),  # (N, 384, 13, 13)
            nn.ReLU(),
            nn.Conv2d(384, 384, 3, padding=1, groups=2),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1, groups=2),  # (N, 256, 13, 13)
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),  # (N, 256, 6, 6)
        )
        self.avgpool = nn.AdaptiveAvgPool2d(6)
        self.classifier = dense_layers(256 * 6 * 6, hidden, num_classes, dropout=dropout)
        self._initialise()

    def _initialise(self) -> None:
        """Initialises as in section 5; biases of 1 give the ReLUs positive inputs at the start."""
        first, second, third, fourth, fifth = (layer for layer in self.features if isinstance(layer, nn.Conv2d))
        *hidden, last = (layer for layer in self.classifier if isinstance(layer, nn.Linear))
        zeros: list[nn.Conv2d | nn.Linear] = [first, third, last]
        ones: list[nn.Conv2d | nn.Linear] = [second, fourth, fifth, *hidden]
        for bias, layers in ((0.0, zeros), (1.0, ones)):
            for layer in layers:
                nn.init.normal_(layer.weight, std=0.01)
                nn.init.constant_(layer.bias, bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))  # (N, num_classes)

    def head(self, features: Tensor) -> Tensor:
        """Computes logits (N, num_classes) of features (N, 256, h, w)."""
        return self.classifier(self.avgpool(features).flatten(1))


class AlexNetTorchvision(DenseHeadCam, nn.Module):
    """AlexNet without halves and normalisation (Krizhevsky 2014, arXiv:1404.5997), under torchvision's parameter names.

    x (N, in_channels, H, W) float, 224 px -> logits (N, num_classes). 61,100,840 parameters for three channels and
    1,000 classes. hidden: units of each hidden dense layer. Other sizes are pooled to 6 x 6 before them.
    """

    def __init__(self, in_channels: int, num_classes: int, *, hidden: int = 4096, dropout: float = 0.5) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 64, 11, stride=4, padding=2),  # (N, 64, 55, 55)
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),  # (N, 64, 27, 27)
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),  # (N, 192, 13, 13)
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1),  # (N, 256, 13, 13)
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),  # (N, 256, 6, 6)
        )
        self.avgpool = nn.AdaptiveAvgPool2d(6)
        self.classifier = dense_layers(256 * 6 * 6, hidden, num_classes, dropout=dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))  # (N, num_classes)

    def head(self, features: Tensor) -> Tensor:
        """Computes logits (N, num_classes) of features (N, 256, h, w)."""
        return self.classifier(self.avgpool(features).flatten(1))
