"""Networks by name, as torch modules; only training imports this package."""

from collections.abc import Callable

from torch import nn

from models.architectures.alexnet import AlexNet, AlexNetTorchvision
from models.architectures.densenet import DenseNet121
from models.architectures.fcn import FCNUnpool
from models.architectures.googlenet import GoogLeNet
from models.architectures.inception import InceptionV3
from models.architectures.lenet import LeNet5
from models.architectures.resnet import ResNet18, ResNet34, ResNet50, ResNeXt50
from models.architectures.signal_networks import CNN1d, ResNet1d
from models.architectures.unet import UNet
from models.architectures.unet3d import UNet3D
from models.architectures.vgg import VGG16, VGG16BN

ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "alexnet": AlexNet,
    "alexnet_torchvision": AlexNetTorchvision,
    "cnn1d": CNN1d,
    "densenet121": DenseNet121,
    "fcn_unpool": FCNUnpool,
    "googlenet": GoogLeNet,
    "inception_v3": InceptionV3,
    "lenet5": LeNet5,
    "resnet1d": ResNet1d,
    "resnet18": ResNet18,
    "resnet34": ResNet34,
    "resnet50": ResNet50,
    "resnext50_32x4d": ResNeXt50,
    "unet": UNet,
    "unet3d": UNet3D,
    "vgg16": VGG16,
    "vgg16_bn": VGG16BN,
}
