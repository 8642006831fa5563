"""LeNet-5: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", 1998."""

import torch
from torch import Tensor, nn


class LeNet5(nn.Module):
    """LeNet-5 with ReLU and a plain linear output in place of the radial basis units.

    x (N, in_channels, 32, 32) float -> logits (N, num_classes). 61,706 parameters for one channel and ten classes.
    """

    input_size = (32, 32)

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 6, 5),  # (N, 6, 28, 28)
            nn.ReLU(),
            nn.MaxPool2d(2),  # (N, 6, 14, 14)
            nn.Conv2d(6, 16, 5),  # (N, 16, 10, 10)
            nn.ReLU(),
            nn.MaxPool2d(2),  # (N, 16, 5, 5)
        )
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classify(self.features(x))[0]  # (N, num_classes)

    def classify(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """features (N, 16, 5, 5) -> logits (N, num_classes) and both hidden activations, (N, 120) and (N, 84)."""
        h1 = self.fc1(features.flatten(1)).relu()  # (N, 120)
        h2 = self.fc2(h1).relu()  # (N, 84)
        return self.fc3(h2), h1, h2

    def forward_with_cam(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (N, in_channels, 32, 32) -> logits (N, C), cam (N, C, 5, 5): Grad-CAM before its ReLU (Selvaraju 2017).

        The gradient of every logit at the features is written as forward operations, because a ReLU's
        derivative is its own sign: dlogits/dfeatures = W3 diag(h2 > 0) W2 diag(h1 > 0) W1. So it exports to ONNX.
        """
        features = self.features(x)  # (N, 16, 5, 5)
        logits, h1, h2 = self.classify(features)
        gradient = self.fc3.weight * torch.sign(h2)[:, None, :]  # (N, C, 84)
        gradient = (gradient @ self.fc2.weight) * torch.sign(h1)[:, None, :]  # (N, C, 120)
        gradient = (gradient @ self.fc1.weight).unflatten(2, (16, 25))  # (N, C, 16, 25)
        cam = gradient.mean(dim=3) @ features.flatten(2)  # (N, C, 25)
        return logits, cam.unflatten(2, (5, 5))
