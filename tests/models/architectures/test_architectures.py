import pytest
import torch
from captum.attr import LayerGradCam
from torch import Tensor, nn

from models.architectures import ARCHITECTURES
from models.architectures.lenet import LeNet5
from models.architectures.resnet import ResNet, ResNet18, ResNet34
from models.architectures.unet import UNet, trim

SIDES = {"lenet5": 32, "unet": 32}  # px; the others take 64


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("network", "count"),
    [
        (lambda: LeNet5(in_channels=1, num_classes=10), 61_706),
        (lambda: ResNet18(in_channels=3, num_classes=1000), 11_689_512),
        (lambda: ResNet34(in_channels=3, num_classes=1000), 21_797_672),
        (lambda: UNet(in_channels=1, num_classes=2, norm="none"), 31_030_658),
        (lambda: UNet(in_channels=1, num_classes=2, norm="none", convolutions="valid"), 31_030_658),
        (lambda: UNet(in_channels=1, num_classes=2), 31_036_546),
    ],
)
def test_parameter_counts_are_the_published_ones(network: object, count: int) -> None:
    with torch.device("meta"):
        assert parameters(network()) == count  # type: ignore[operator]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_is_called_alike(name: str) -> None:
    network = ARCHITECTURES[name](in_channels=3, num_classes=10).eval()
    side = SIDES.get(name, 64)
    with torch.no_grad():
        out = network(torch.randn(2, 3, side, side))
    assert out.shape[:2] == (2, 10)
    assert out.shape[2:] in ((), (side, side))


def torchvision_state(blocks: tuple[int, ...], *, in_channels: int, classes: int) -> dict[str, tuple[int, ...]]:
    """The names and shapes of torchvision's resnet18 and resnet34, by its rule."""

    def norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
        state = {f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")}
        return state | {f"{name}.num_batches_tracked": ()}

    state = {"conv1.weight": (64, in_channels, 7, 7)} | norm("bn1", 64)
    inputs = 64
    for stage, count in enumerate(blocks, start=1):
        width = 64 * 2 ** (stage - 1)
        for block in range(count):
            name = f"layer{stage}.{block}"
            state |= {f"{name}.conv1.weight": (width, inputs, 3, 3), f"{name}.conv2.weight": (width, width, 3, 3)}
            state |= norm(f"{name}.bn1", width) | norm(f"{name}.bn2", width)
            if block == 0 and stage > 1:
                state |= {f"{name}.downsample.0.weight": (width, inputs, 1, 1)} | norm(f"{name}.downsample.1", width)
            inputs = width
    return state | {"fc.weight": (classes, 512), "fc.bias": (classes,)}


@pytest.mark.parametrize(("family", "blocks"), [(ResNet18, (2, 2, 2, 2)), (ResNet34, (3, 4, 6, 3))])
def test_resnets_have_torchvisions_parameters(family: type[ResNet], blocks: tuple[int, ...]) -> None:
    with torch.device("meta"):
        state = family(in_channels=3, num_classes=1000).state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == torchvision_state(
        blocks, in_channels=3, classes=1000
    )


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
def test_the_map_has_the_stride_that_is_asked_for(options: dict[str, object], side: int, map_side: int) -> None:
    network = ResNet18(in_channels=1, num_classes=3, width=4, **options).eval()
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


def lenet() -> nn.Module:
    return randomised(LeNet5(in_channels=1, num_classes=10))


def images(side: int) -> Tensor:
    return torch.randn(4, 1, side, side, dtype=torch.float64)


@pytest.mark.parametrize(("network", "side"), [(resnet, 64), (lenet, 32)])
def test_the_logits_do_not_depend_on_whether_a_map_is_asked_for(network: object, side: int) -> None:
    net, x = network(), images(side)  # type: ignore[operator]
    torch.testing.assert_close(net(x), net.forward_with_cam(x)[0])


@pytest.mark.parametrize("options", [{}, {"map_stride": 16}, {"stem": "small"}], ids=str)
def test_a_resnets_logit_is_its_maps_mean_plus_the_bias(options: dict[str, object]) -> None:
    net = resnet(**options)
    logits, cam = net.forward_with_cam(images(64))
    torch.testing.assert_close(cam.mean(dim=(2, 3)) + net.fc.bias, logits)
    pooled = net.features(images(64)).mean(dim=(2, 3))
    assert pooled.shape == (4, 64)


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
