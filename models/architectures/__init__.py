"""The networks, by name. Torch lives here; only training imports this package."""

from collections.abc import Callable

from torch import nn

from models.architectures.lenet import LeNet5
from models.architectures.resnet import ResNet18, ResNet34
from models.architectures.unet import UNet

ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "lenet5": LeNet5,
    "resnet18": ResNet18,
    "resnet34": ResNet34,
    "unet": UNet,
}
