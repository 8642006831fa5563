"""GoogLeNet: Szegedy and others, "Going deeper with convolutions", 2015 (arXiv:1409.4842)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.architectures.cam_head import classify_with_map


class ConvNorm(nn.Module):
    """Convolution, batch normalisation, ReLU. (N, inputs, H, W) -> (N, outputs, H / stride, W / stride) if padded."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int | tuple[int, int], *, stride: int = 1, padded: bool = True
    ) -> None:
        super().__init__()
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (height // 2, width // 2) if padded else 0
        self.conv = nn.Conv2d(inputs, outputs, (height, width), stride=stride, padding=padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)
        nn.init.kaiming_normal_(self.conv.weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class Inception(nn.Module):
    """Figure 2b: four branches side by side. x (N, inputs, H, W) -> (N, one + three[1] + five[1] + pooled, H, W).

    three, five: channels of the 1 x 1 reduction and of the convolution after it, which is 3 x 3 in both, as in
    torchvision; the paper has 5 x 5 in the third branch.
    """

    def __init__(self, inputs: int, *, one: int, three: tuple[int, int], five: tuple[int, int], pooled: int) -> None:
        super().__init__()
        self.branch1 = ConvNorm(inputs, one, 1)
        self.branch2 = nn.Sequential(ConvNorm(inputs, three[0], 1), ConvNorm(*three, 3))
        self.branch3 = nn.Sequential(ConvNorm(inputs, five[0], 1), ConvNorm(*five, 3))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), ConvNorm(inputs, pooled, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], dim=1)


class GoogLeNetAuxiliary(nn.Module):
    """Auxiliary classifier for gradients in the lower layers. (N, inputs, h, w) -> (N, classes)."""

    def __init__(self, inputs: int, num_classes: int) -> None:
        super().__init__()
        self.conv = ConvNorm(inputs, 128, 1)
        self.fc1 = nn.Linear(128 * 4 * 4, 1024)
        self.dropout = nn.Dropout(0.7)
        self.fc2 = nn.Linear(1024, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(F.adaptive_avg_pool2d(x, 4))  # (N, 128, 4, 4)
        return self.fc2(self.dropout(self.fc1(x.flatten(1)).relu()))


class GoogLeNet(nn.Module):
    """GoogLeNet with batch normalisation, under torchvision's parameter names, so that its checkpoints load.

    x (N, in_channels, H, W) float, 224 px in the paper -> logits (N, num_classes); the class activation map is
    (N, num_classes, H/32, W/32). In training, the logits and those of the two auxiliary heads, each (N, num_classes).

    auxiliary_weight: of each auxiliary head's loss; 0 omits the heads. 13,004,888 parameters for three channels and
    1,000 classes, 6,624,904 without auxiliary heads.
    """

    def __init__(
        self, in_channels: int, num_classes: int, *, auxiliary_weight: float = 0.3, dropout: float = 0.4
    ) -> None:
        super().__init__()
        self.conv1 = ConvNorm(in_channels, 64, 7, stride=2)
        self.conv2 = ConvNorm(64, 64, 1)
        self.conv3 = ConvNorm(64, 192, 3)
        self.pool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception3a = Inception(192, one=64, three=(96, 128), five=(16, 32), pooled=32)
        self.inception3b = Inception(256, one=128, three=(128, 192), five=(32, 96), pooled=64)
        self.inception4a = Inception(480, one=192, three=(96, 208), five=(16, 48), pooled=64)
        self.inception4b = Inception(512, one=160, three=(112, 224), five=(24, 64), pooled=64)
        self.inception4c = Inception(512, one=128, three=(128, 256), five=(24, 64), pooled=64)
        self.inception4d = Inception(512, one=112, three=(144, 288), five=(32, 64), pooled=64)
        self.inception4e = Inception(528, one=256, three=(160, 320), five=(32, 128), pooled=128)
        self.last_pool = nn.MaxPool2d(2, stride=2, ceil_mode=True)  # torchvision's; 3 x 3 in the paper
        self.inception5a = Inception(832, one=256, three=(160, 320), five=(32, 128), pooled=128)
        self.inception5b = Inception(832, one=384, three=(192, 384), five=(48, 128), pooled=128)
        self.dropout = nn.Dropout2d(dropout)  # of whole channels, which commutes with their mean
        self.fc = nn.Linear(1024, num_classes)
        self.auxiliary_weight = auxiliary_weight
        if auxiliary_weight:
            self.aux1 = GoogLeNetAuxiliary(512, num_classes)
            self.aux2 = GoogLeNetAuxiliary(528, num_classes)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        features, at_4a, at_4d = self.stages(x)
        logits, _ = classify_with_map(self.dropout(features), self.fc)  # (N, num_classes)
        if not (self.training and self.auxiliary_weight):
            return logits
        return logits, self.aux1(at_4a), self.aux2(at_4d)

    def forward_with_cam(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Computes logits (N, C) and cam (N, C, h, w); each logit is the mean of its map plus a bias."""
        return classify_with_map(self.dropout(self.features(x)), self.fc)

    def features(self, x: Tensor) -> Tensor:
        """Computes the features (N, 1024, H/32, W/32) of x (N, in_channels, H, W)."""
        return self.stages(x)[0]

    def stages(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Computes features (N, 1024, H/32, W/32) and auxiliary heads' inputs (N, 512 and 528, H/16, W/16)."""
        x = self.pool(self.conv1(x))  # (N, 64, H/4, W/4)
        x = self.pool(self.conv3(self.conv2(x)))  # (N, 192, H/8, W/8)
        x = self.pool(self.inception3b(self.inception3a(x)))  # (N, 480, H/16, W/16)
        at_4a = self.inception4a(x)  # (N, 512, H/16, W/16)
        at_4d = self.inception4d(self.inception4c(self.inception4b(at_4a)))  # (N, 528, H/16, W/16)
        x = self.last_pool(self.inception4e(at_4d))  # (N, 832, H/32, W/32)
        return self.inception5b(self.inception5a(x)), at_4a, at_4d
