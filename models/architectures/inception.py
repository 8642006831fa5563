"""Inception-v3: Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, "Rethinking the Inception architecture", 2016.

arXiv:1512.00567. Modules and parameters have torchvision's names, which are those of the paper's own code.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.architectures.cam_head import classify_with_map
from models.architectures.googlenet import ConvNorm


def smooth(x: Tensor) -> Tensor:
    """Averages each pixel of (N, C, H, W) over its 3 x 3 neighbours, with zeros beyond the border."""
    return F.avg_pool2d(x, 3, stride=1, padding=1)


class MixedA(nn.Module):
    """Figure 5, with a 5 x 5 convolution in the first branch. x (N, inputs, H, W) -> (N, 224 + pooled, H, W)."""

    def __init__(self, inputs: int, *, pooled: int) -> None:
        super().__init__()
        self.branch1x1 = ConvNorm(inputs, 64, 1)
        self.branch5x5_1 = ConvNorm(inputs, 48, 1)
        self.branch5x5_2 = ConvNorm(48, 64, 5)
        self.branch3x3dbl_1 = ConvNorm(inputs, 64, 1)
        self.branch3x3dbl_2 = ConvNorm(64, 96, 3)
        self.branch3x3dbl_3 = ConvNorm(96, 96, 3)
        self.branch_pool = ConvNorm(inputs, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        five = self.branch5x5_2(self.branch5x5_1(x))  # (N, 64, H, W)
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))  # (N, 96, H, W)
        return torch.cat([self.branch1x1(x), five, three, self.branch_pool(smooth(x))], dim=1)


class MixedB(nn.Module):
    """Figure 10, halves the resolution. x (N, inputs, H, W) -> (N, inputs + 480, (H - 1) / 2, (W - 1) / 2)."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch3x3 = ConvNorm(inputs, 384, 3, stride=2, padded=False)
        self.branch3x3dbl_1 = ConvNorm(inputs, 64, 1)
        self.branch3x3dbl_2 = ConvNorm(64, 96, 3)
        self.branch3x3dbl_3 = ConvNorm(96, 96, 3, stride=2, padded=False)
        self.pool = nn.MaxPool2d(3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, self.pool(x)], dim=1)


class MixedC(nn.Module):
    """Figure 6: 7 x 7 convolutions as 1 x 7 and 7 x 1. x (N, 768, H, W) -> (N, 768, H, W). width: of the inner ones."""

    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.branch1x1 = ConvNorm(768, 192, 1)
        self.branch7x7_1 = ConvNorm(768, width, 1)
        self.branch7x7_2 = ConvNorm(width, width, (1, 7))
        self.branch7x7_3 = ConvNorm(width, 192, (7, 1))
        self.branch7x7dbl_1 = ConvNorm(768, width, 1)
        self.branch7x7dbl_2 = ConvNorm(width, width, (7, 1))
        self.branch7x7dbl_3 = ConvNorm(width, width, (1, 7))
        self.branch7x7dbl_4 = ConvNorm(width, width, (7, 1))
        self.branch7x7dbl_5 = ConvNorm(width, 192, (1, 7))
        self.branch_pool = ConvNorm(768, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))  # (N, 192, H, W)
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))  # (N, width, H, W)
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))  # (N, 192, H, W)
        return torch.cat([self.branch1x1(x), seven, double, self.branch_pool(smooth(x))], dim=1)


class MixedD(nn.Module):
    """Halves the resolution again. x (N, 768, H, W) -> (N, 1280, (H - 1) / 2, (W - 1) / 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.branch3x3_1 = ConvNorm(768, 192, 1)
        self.branch3x3_2 = ConvNorm(192, 320, 3, stride=2, padded=False)
        self.branch7x7x3_1 = ConvNorm(768, 192, 1)
        self.branch7x7x3_2 = ConvNorm(192, 192, (1, 7))
        self.branch7x7x3_3 = ConvNorm(192, 192, (7, 1))
        self.branch7x7x3_4 = ConvNorm(192, 192, 3, stride=2, padded=False)
        self.pool = nn.MaxPool2d(3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        three = self.branch3x3_2(self.branch3x3_1(x))  # (N, 320, h, w)
        seven = self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x)))  # (N, 192, H, W)
        return torch.cat([three, self.branch7x7x3_4(seven), self.pool(x)], dim=1)


class MixedE(nn.Module):
    """Figure 7: many channels at the coarsest resolution. x (N, inputs, H, W) -> (N, 2048, H, W)."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch1x1 = ConvNorm(inputs, 320, 1)
        self.branch3x3_1 = ConvNorm(inputs, 384, 1)
        self.branch3x3_2a = ConvNorm(384, 384, (1, 3))
        self.branch3x3_2b = ConvNorm(384, 384, (3, 1))
        self.branch3x3dbl_1 = ConvNorm(inputs, 448, 1)
        self.branch3x3dbl_2 = ConvNorm(448, 384, 3)
        self.branch3x3dbl_3a = ConvNorm(384, 384, (1, 3))
        self.branch3x3dbl_3b = ConvNorm(384, 384, (3, 1))
        self.branch_pool = ConvNorm(inputs, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        three = self.branch3x3_1(x)  # (N, 384, H, W)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))  # (N, 384, H, W)
        split = [self.branch3x3_2a(three), self.branch3x3_2b(three)]  # (N, 768, H, W) together, as the next
        split += [self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double)]
        return torch.cat([self.branch1x1(x), *split, self.branch_pool(smooth(x))], dim=1)


class InceptionAuxiliary(nn.Module):
    """Auxiliary classifier on an inner layer (figure 8). x (N, 768, h, w), at least 17 x 17 -> (N, num_classes)."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv0 = ConvNorm(768, 128, 1)
        self.conv1 = ConvNorm(128, 768, 5, padded=False)
        self.fc = nn.Linear(768, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv0(F.avg_pool2d(x, 5, stride=3))  # (N, 128, 5, 5)
        return self.fc(self.conv1(x).mean(dim=(2, 3)))


class InceptionV3(nn.Module):
    """Inception-v3 under torchvision's parameter names, so that its checkpoints load.

    x (N, in_channels, H, W) float, 299 px in the paper, at least 75 -> logits (N, num_classes); the class activation
    map is (N, num_classes, 8, 8) at 299 px. In training, a tuple of the logits and those of the auxiliary
    head, each (N, num_classes); that head needs 299 px.

    auxiliary_weight: of the auxiliary head's loss; 0 omits the head. 27,161,264 parameters for three channels and 1,000
    classes, 23,834,568 without the auxiliary head.
    """

    def __init__(
        self, in_channels: int, num_classes: int, *, auxiliary_weight: float = 0.4, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = ConvNorm(in_channels, 32, 3, stride=2, padded=False)
        self.Conv2d_2a_3x3 = ConvNorm(32, 32, 3, padded=False)
        self.Conv2d_2b_3x3 = ConvNorm(32, 64, 3)
        self.pool = nn.MaxPool2d(3, stride=2)
        self.Conv2d_3b_1x1 = ConvNorm(64, 80, 1)
        self.Conv2d_4a_3x3 = ConvNorm(80, 192, 3, padded=False)
        self.Mixed_5b = MixedA(192, pooled=32)
        self.Mixed_5c = MixedA(256, pooled=64)
        self.Mixed_5d = MixedA(288, pooled=64)
        self.Mixed_6a = MixedB(288)
        self.Mixed_6b = MixedC(width=128)
        self.Mixed_6c = MixedC(width=160)
        self.Mixed_6d = MixedC(width=160)
        self.Mixed_6e = MixedC(width=192)
        self.Mixed_7a = MixedD()
        self.Mixed_7b = MixedE(1280)
        self.Mixed_7c = MixedE(2048)
        self.dropout = nn.Dropout2d(dropout)  # of whole channels, which commutes with their mean
        self.fc = nn.Linear(2048, num_classes)
        self.auxiliary_weight = auxiliary_weight
        if auxiliary_weight:
            self.AuxLogits = InceptionAuxiliary(num_classes)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        features, at_6e = self.stages(x)
        logits, _ = classify_with_map(self.dropout(features), self.fc)  # (N, num_classes)
        return (logits, self.AuxLogits(at_6e)) if self.training and self.auxiliary_weight else logits

    def forward_with_cam(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Computes logits (N, C) and cam (N, C, h, w); each logit is the mean of its map plus a bias."""
        return classify_with_map(self.dropout(self.features(x)), self.fc)

    def features(self, x: Tensor) -> Tensor:
        """Computes the features (N, 2048, h, w) of x (N, in_channels, H, W)."""
        return self.stages(x)[0]

    def stages(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Computes features (N, 2048, h, w) and the auxiliary head's input (N, 768, 2 h + 1, 2 w + 1)."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))  # (N, 64, 147, 147) of 299 px
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(self.pool(x)))  # (N, 192, 71, 71)
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(self.pool(x))))  # (N, 288, 35, 35)
        x = self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))  # (N, 768, 17, 17)
        at_6e = self.Mixed_6e(self.Mixed_6d(x))  # (N, 768, 17, 17)
        return self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(at_6e))), at_6e  # (N, 2048, 8, 8)
