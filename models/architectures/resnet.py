"""Residual networks: He, Zhang, Ren, Sun, "Deep residual learning for image recognition", 2016 (arXiv:1512.03385)."""

from typing import Any, Literal

from torch import Tensor, nn

from models.architectures.cam_head import classify_with_map


def conv3x3(inputs: int, outputs: int, *, stride: int = 1, dilation: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=dilation, dilation=dilation, groups=groups, bias=False)


def shortcut(inputs: int, outputs: int, *, stride: int) -> nn.Module | None:
    """Builds the projection to the shape of a block's output; None if the input has that shape."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut. x (N, inputs, H, W) -> (N, width, H / stride, W / stride)."""

    expansion = 1

    def __init__(self, inputs: int, width: int, *, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv1 = conv3x3(inputs, width, stride=stride, dilation=dilation)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = conv3x3(width, width, dilation=dilation)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = shortcut(inputs, width, stride=stride)

    @property
    def last_norm(self) -> nn.BatchNorm2d:
        return self.bn2

    def forward(self, x: Tensor) -> Tensor:
        past = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(out)) + past)


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions and a shortcut. x (N, inputs, H, W) -> (N, 4 width, H / stride, W / stride).

    The 3 x 3 convolution strides, as in torchvision; in the paper the first 1 x 1 does. The parameters are the same.
    """

    expansion = 4
    groups, inner = 1, 1  # of the 3 x 3 convolution: its groups, its channels in multiples of width

    def __init__(self, inputs: int, width: int, *, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        inner, outputs = self.inner * width, self.expansion * width
        self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = conv3x3(inner, inner, stride=stride, dilation=dilation, groups=self.groups)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut(inputs, outputs, stride=stride)

    @property
    def last_norm(self) -> nn.BatchNorm2d:
        return self.bn3

    def forward(self, x: Tensor) -> Tensor:
        past = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        return self.relu(self.bn3(self.conv3(out)) + past)


class GroupedBottleneck(Bottleneck):
    """The 3 x 3 convolution in 32 groups of 4 channels at width 64 (Xie 2017, arXiv:1611.05431, figure 3c)."""

    groups, inner = 32, 2


class ResNet(nn.Module):
    """A residual network under torchvision's parameter names, so that its checkpoints load when width is 64.

    x (N, in_channels, H, W) float -> logits (N, num_classes); the class activation map is (N, num_classes, H/32, W/32).

    blocks: blocks in each of the four stages. block: BasicBlock, or one of four times the width.
    width: channels of the first stage, doubled at each following one. stem: "imagenet" is the paper's 7 x 7 stride 2
    convolution and 3 x 3 pooling; "small" is one 3 x 3 convolution of stride 1 for images of about 32 px. map_stride:
    16 dilates the last stage instead of striding it (for "imagenet"), so that the activation map has twice the
    resolution with the same parameters.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        blocks: tuple[int, int, int, int],
        block: type[BasicBlock] | type[Bottleneck] = BasicBlock,
        width: int = 64,
        stem: Literal["imagenet", "small"] = "imagenet",
        map_stride: Literal[16, 32] = 32,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        small = stem == "small"
        self.conv1 = nn.Conv2d(
            in_channels, width, 3 if small else 7, stride=1 if small else 2, padding=1 if small else 3, bias=False
        )
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, stride=2, padding=1)
        wide = block.expansion * width
        self.layer1 = self._stage(block, width, width, blocks[0])
        self.layer2 = self._stage(block, wide, 2 * width, blocks[1], stride=2)
        self.layer3 = self._stage(block, 2 * wide, 4 * width, blocks[2], stride=2)
        last = {"stride": 2} if map_stride == 32 else {"dilation": 2}
        self.layer4 = self._stage(block, 4 * wide, 8 * width, blocks[3], **last)
        self.dropout = nn.Dropout2d(dropout)
        self.fc = nn.Linear(8 * wide, num_classes)
        self._initialise()

    @staticmethod
    def _stage(
        block: type[BasicBlock] | type[Bottleneck],
        inputs: int,
        width: int,
        count: int,
        *,
        stride: int = 1,
        dilation: int = 1,
    ) -> nn.Sequential:
        first = block(inputs, width, stride=stride, dilation=dilation)
        wide = block.expansion * width
        return nn.Sequential(first, *(block(wide, width, dilation=dilation) for _ in range(count - 1)))

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, BasicBlock | Bottleneck):
                nn.init.zeros_(module.last_norm.weight)  # each block starts as its shortcut (Goyal 2017, section 5.1)

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_with_cam(x)[0]  # (N, num_classes)

    def forward_with_cam(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Computes logits (N, C) and cam (N, C, h, w); each logit is the mean of its map plus a bias."""
        return classify_with_map(self.dropout(self.features(x)), self.fc)

    def features(self, x: Tensor) -> Tensor:
        """Computes the features (N, 8 expansion width, H/32, W/32) of x (N, in_channels, H, W)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))  # (N, width, H/4, W/4)
        x = self.layer2(self.layer1(x))  # (N, 2 expansion width, H/8, W/8)
        return self.layer4(self.layer3(x))  # (N, 8 expansion width, H/32, W/32)


class ResNet18(ResNet):
    """ResNet-18. 11,689,512 parameters for three channels and 1,000 classes."""

    def __init__(self, in_channels: int, num_classes: int, **options: Any) -> None:
        super().__init__(in_channels, num_classes, blocks=(2, 2, 2, 2), **options)


class ResNet34(ResNet):
    """ResNet-34. 21,797,672 parameters for three channels and 1,000 classes."""

    def __init__(self, in_channels: int, num_classes: int, **options: Any) -> None:
        super().__init__(in_channels, num_classes, blocks=(3, 4, 6, 3), **options)


class ResNet50(ResNet):
    """ResNet-50, of bottlenecks. 25,557,032 parameters for three channels and 1,000 classes."""

    def __init__(self, in_channels: int, num_classes: int, **options: Any) -> None:
        super().__init__(in_channels, num_classes, blocks=(3, 4, 6, 3), block=Bottleneck, **options)


class ResNeXt50(ResNet):
    """ResNeXt-50 32x4d: ResNet-50 with grouped bottlenecks. 25,028,904 parameters for three channels, 1,000 classes."""

    def __init__(self, in_channels: int, num_classes: int, **options: Any) -> None:
        super().__init__(in_channels, num_classes, blocks=(3, 4, 6, 3), block=GroupedBottleneck, **options)
