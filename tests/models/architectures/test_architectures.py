from collections.abc import Callable
from typing import Any

import pytest
import torch
from captum.attr import LayerGradCam
from torch import Tensor, nn

from models.architectures import ARCHITECTURES
from models.architectures.lenet import LeNet5
from models.architectures.resnet import ResNet, ResNet18, ResNet50
from models.architectures.unet import UNet, trim

SIDES = {"lenet5": 32, "unet": 32, "inception_v3": 75}  # px; the others take 64
AXES = {"cnn1d": 1, "resnet1d": 1, "unet3d": 3}


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("name", "options", "count"),
    [
        ("alexnet", {}, 60_965_224),
        ("alexnet_torchvision", {}, 61_100_840),
        ("densenet121", {}, 7_978_856),
        ("googlenet", {}, 13_004_888),
        ("googlenet", {"auxiliary_weight": 0}, 6_624_904),
        ("inception_v3", {}, 27_161_264),
        ("inception_v3", {"auxiliary_weight": 0}, 23_834_568),
        ("lenet5", {"in_channels": 1, "num_classes": 10}, 61_706),
        ("resnet18", {}, 11_689_512),
        ("resnet34", {}, 21_797_672),
        ("resnet50", {}, 25_557_032),
        ("resnext50_32x4d", {}, 25_028_904),
        ("unet", {"in_channels": 1, "num_classes": 2, "norm": "none"}, 31_030_658),
        ("unet", {"in_channels": 1, "num_classes": 2, "norm": "none", "convolutions": "valid"}, 31_030_658),
        ("unet", {"in_channels": 1, "num_classes": 2}, 31_036_546),
        ("vgg16", {}, 138_357_544),
        ("vgg16_bn", {}, 138_365_992),
    ],
)
def test_parameter_counts_are_the_published_ones(name: str, options: dict[str, Any], count: int) -> None:
    with torch.device("meta"):
        network = ARCHITECTURES[name](**{"in_channels": 3, "num_classes": 1000, **options})
    assert sum(parameter.numel() for parameter in network.parameters()) == count


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_is_called_alike(name: str) -> None:
    sides = (SIDES.get(name, 64),) * AXES.get(name, 2)
    with torch.device("meta"):
        out = ARCHITECTURES[name](in_channels=3, num_classes=10).eval()(torch.randn(2, 3, *sides))
    assert out.shape[:2] == (2, 10)
    assert out.shape[2:] in ((), sides)


@pytest.mark.parametrize(
    ("options", "side", "map_side"),
    [
        ({}, 224, 7),
        ({"map_stride": 16}, 224, 14),
        ({"stem": "small"}, 32, 4),
        ({}, 225, 8),  # any size goes
    ],
    ids=str,
)
@pytest.mark.parametrize("family", [ResNet18, ResNet50])
def test_the_map_has_the_stride_that_is_asked_for(
    family: type[ResNet], options: dict[str, object], side: int, map_side: int
) -> None:
    network = family(in_channels=1, num_classes=3, width=4, **options).eval()
    with torch.no_grad():
        logits, cam = network.forward_with_cam(torch.randn(2, 1, side, side))
    assert logits.shape == (2, 3)
    assert cam.shape == (2, 3, map_side, map_side)


@pytest.mark.parametrize(
    ("options", "side", "out_side"),
    [
        ({"convolutions": "valid"}, 572, 388),  # the paper's figure 1
        ({"convolutions": "valid"}, 188, 4),  # the least
        ({}, 32, 32),
        ({"depth": 2}, 20, 20),
        ({"depth": 2, "convolutions": "valid"}, 44, 4),
        ({"depth": 3, "max_width": 8, "norm": "none"}, 24, 24),
    ],
    ids=str,
)
def test_unet_sizes(options: dict[str, object], side: int, out_side: int) -> None:
    network = UNet(in_channels=2, num_classes=3, base_width=4, **options).eval()
    with torch.no_grad():
        assert network(torch.randn(1, 2, side, side)).shape == (1, 3, out_side, out_side)


def test_a_skip_is_cropped_at_its_centre() -> None:
    skip = torch.arange(36.0).reshape(1, 1, 6, 6)
    assert trim(skip, 2).flatten().tolist() == [14, 15, 20, 21]


def randomised(network: nn.Module) -> nn.Module:
    """With batch statistics and weights as after training: a fresh one has blocks that do nothing."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network.double().eval()


def resnet(**options: object) -> nn.Module:
    return randomised(ResNet18(in_channels=1, num_classes=3, width=8, dropout=0.2, **options))


def resnet50(**options: object) -> nn.Module:
    return randomised(ResNet50(in_channels=1, num_classes=3, width=4, **options))


def lenet() -> nn.Module:
    return randomised(LeNet5(in_channels=1, num_classes=10))


def images(side: int) -> Tensor:
    return torch.randn(4, 1, side, side, dtype=torch.float64)


@pytest.mark.parametrize(("network", "side"), [(resnet, 64), (resnet50, 64), (lenet, 32)])
def test_the_logits_do_not_depend_on_whether_a_map_is_asked_for(network: object, side: int) -> None:
    net, x = network(), images(side)  # type: ignore[operator]
    torch.testing.assert_close(net(x), net.forward_with_cam(x)[0])


@pytest.mark.parametrize(("family", "channels"), [(resnet, 64), (resnet50, 128)])
@pytest.mark.parametrize("options", [{}, {"map_stride": 16}, {"stem": "small"}], ids=str)
def test_a_resnets_logit_is_its_maps_mean_plus_the_bias(
    family: Callable[..., nn.Module], channels: int, options: dict[str, object]
) -> None:
    net = family(**options)
    logits, cam = net.forward_with_cam(images(64))
    torch.testing.assert_close(cam.mean(dim=(2, 3)) + net.fc.bias, logits)
    pooled = net.features(images(64)).mean(dim=(2, 3))
    assert pooled.shape == (4, channels)


def gradcam(net: nn.Module, layer: nn.Module, x: Tensor, label: int) -> Tensor:
    """Captum's Grad-CAM of one class before its ReLU, (N, h, w)."""
    return LayerGradCam(net, layer).attribute(x, target=label, relu_attributions=False)[:, 0].detach()


@pytest.mark.parametrize("label", [0, 3, 9])
def test_lenets_map_is_grad_cam(label: int) -> None:
    net, x = lenet(), images(32)
    ours = net.forward_with_cam(x)[1][:, label].detach()
    theirs = gradcam(net, net.features, x, label)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 * float(theirs.abs().max()))


@pytest.mark.parametrize("label", [0, 2])
@pytest.mark.parametrize("options", [{}, {"map_stride": 16}, {"stem": "small"}], ids=str)
def test_a_resnets_map_is_grad_cam_after_its_relu_and_scaling(options: dict[str, object], label: int) -> None:
    net, x = resnet(**options), images(64)
    mean = net.features(x).mean(dim=(0, 2, 3)).detach()  # (64,)
    net.fc.weight.data -= torch.outer(net.fc.weight.data @ mean, mean) / mean.dot(mean)  # so that maps have both signs
    maps = (net.forward_with_cam(x)[1][:, label].detach(), gradcam(net, net.layer4, x, label))
    ours, theirs = (m.relu() / m.relu().amax(dim=(1, 2), keepdim=True).clamp_min(1e-12) for m in maps)
    assert (ours > 0).any()
    assert (ours == 0).any()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_training_with_dropout_changes_the_logits_but_serving_does_not() -> None:
    net, x = resnet(), images(64)
    torch.testing.assert_close(net(x), net(x))
    net.dropout.train()
    assert not torch.equal(net(x), net(x))
