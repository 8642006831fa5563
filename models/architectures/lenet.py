"""LeNet-5: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", 1998."""

from torch import Tensor, nn

from models.architectures.cam_head import classify_with_gradient_maps


class LeNet5(nn.Module):
    """LeNet-5 with ReLU and a plain linear output in place of the radial basis units.

    x (N, in_channels, 32, 32) float -> logits (N, num_classes). 61,706 parameters for one channel and ten classes.
    """

    input_size = (32, 32)
    cam_methods = ("gradcam", "hirescam")

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
        h = self.fc1(self.features(x).flatten(1)).relu()  # (N, 120)
        return self.fc3(self.fc2(h).relu())  # (N, num_classes)

    def forward_with_cam(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Computes logits (N, C), Grad-CAM and HiResCAM (N, C, 5, 5) of x (N, in_channels, 32, 32)."""
        return classify_with_gradient_maps(self.features(x), (self.fc1, self.fc2, self.fc3))
