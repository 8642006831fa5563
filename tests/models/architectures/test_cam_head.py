"""The maps of fully connected heads against Captum's gradients, layer by layer, and what a head of one mean gives."""

import pytest
import torch
from captum.attr import LayerGradCam, LayerGradientXActivation
from torch import Tensor, nn

from models.architectures.alexnet import AlexNet, AlexNetTorchvision
from models.architectures.cam_head import classify_with_map
from models.architectures.lenet import LeNet5
from models.architectures.vgg import VGG16, VGG16BN


def lenet() -> tuple[nn.Module, str, int]:
    return LeNet5(1, 4), "features", 32


def alexnet() -> tuple[nn.Module, str, int]:
    return AlexNet(1, 4, hidden=24), "features", 224


def alexnet_torchvision() -> tuple[nn.Module, str, int]:
    return AlexNetTorchvision(1, 4, hidden=24), "avgpool", 130


def vgg() -> tuple[nn.Module, str, int]:
    return VGG16(1, 4, width=4, hidden=24), "features", 224


def vgg_bn() -> tuple[nn.Module, str, int]:
    return VGG16BN(1, 4, width=4, hidden=24), "avgpool", 64  # 2 x 2, spread over 7 x 7


FAMILIES = (lenet, alexnet, alexnet_torchvision, vgg, vgg_bn)


def randomised(network: nn.Module) -> nn.Module:
    """Units that are on and off, and logits that differ, as after training; dropout is there to be left out."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
            nn.init.normal_(module.bias, std=0.1)
    return network.double().eval()


@pytest.fixture(scope="module", params=FAMILIES, ids=lambda make: make.__name__)
def example(request: pytest.FixtureRequest) -> tuple[nn.Module, nn.Module, Tensor]:
    """A network, the layer of its maps, and images."""
    torch.manual_seed(0)
    network, layer, side = request.param()
    return randomised(network), network.get_submodule(layer), torch.randn(2, 1, side, side, dtype=torch.float64)


@pytest.mark.parametrize("label", [0, 3])
def test_gradcam_is_captums(example: tuple[nn.Module, nn.Module, Tensor], label: int) -> None:
    network, layer, x = example
    ours = network.forward_with_cam(x)[1][:, label].detach()
    theirs = LayerGradCam(network, layer).attribute(x, target=label, relu_attributions=False)[:, 0].detach()
    assert theirs.abs().max() > 0
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9 * float(theirs.abs().max()))


@pytest.mark.parametrize("label", [0, 3])
def test_hirescam_is_the_gradient_times_the_features(example: tuple[nn.Module, nn.Module, Tensor], label: int) -> None:
    network, layer, x = example
    ours = network.forward_with_cam(x)[2][:, label].detach()
    theirs = LayerGradientXActivation(network, layer).attribute(x, target=label).sum(dim=1).detach()
    assert theirs.abs().max() > 0
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9 * float(theirs.abs().max()))


def test_the_logits_do_not_depend_on_whether_maps_are_asked_for(
    example: tuple[nn.Module, nn.Module, Tensor],
) -> None:
    network, _, x = example
    torch.testing.assert_close(network.forward_with_cam(x)[0], network(x))


def test_both_maps_of_a_global_average_pooling_head_are_cam_over_its_places() -> None:
    torch.manual_seed(0)
    head, pool = nn.Linear(5, 3).double(), nn.AdaptiveAvgPool2d(1)
    network = nn.Sequential(features := nn.Conv2d(1, 5, 3).double(), pool, nn.Flatten(), head)
    x = torch.randn(2, 1, 8, 9, dtype=torch.float64)
    cam = classify_with_map(features(x), head)[1].detach()  # (2, 3, 6, 7)
    for label in range(3):
        gradcam = LayerGradCam(network, features).attribute(x, target=label, relu_attributions=False)[:, 0].detach()
        hirescam = LayerGradientXActivation(network, features).attribute(x, target=label).sum(dim=1).detach()
        torch.testing.assert_close(gradcam, cam[:, label] / 42)
        torch.testing.assert_close(hirescam, cam[:, label] / 42)
