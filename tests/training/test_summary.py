"""The table of a network's layers: known answers of arithmetic, and of gradients where there are several paths."""

from itertools import accumulate
from pathlib import Path

import pytest
import torch
from torch import nn

from models.architectures import ARCHITECTURES
from tests.training import gradients
from training.layer_trace import Layer, trace
from training.network_geometry import classifier_geometry, segmenter_geometry
from training.receptive_field import PIXEL, after_transposed_convolution, after_window, union
from training.summary import input_shape, main

SIDES = {"lenet5": 32, "inception_v3": 299, "unet3d": 32, "cnn1d": 128, "resnet1d": 128, "unet": 64, "fcn_unpool": 64}
AUXILIARY = {"googlenet": 6_379_984, "inception_v3": 3_326_696}  # parameters of heads that only training has


def traced(name: str, *, classes: int = 1000) -> tuple[nn.Module, list[Layer]]:
    channels = 1 if name == "lenet5" else 3
    with torch.device("meta"):
        network = ARCHITECTURES[name](channels, classes)
    return network, trace(network, shape=input_shape(network, channels, (SIDES.get(name, 224),)))


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_every_architecture_has_a_table_with_all_its_parameters(name: str) -> None:
    network, layers = traced(name)
    counted = sum(layer.parameters for layer in layers)
    assert counted == sum(p.numel() for p in network.parameters()) - AUXILIARY.get(name, 0)
    assert all(layer.memory > 0 for layer in layers)


@pytest.mark.parametrize(
    ("name", "published"),  # 10^9, at 224 px (Inception-v3 at 299); torchvision's tables
    [
        ("alexnet_torchvision", 0.71),
        ("vgg16", 15.47),
        ("googlenet", 1.50),
        ("inception_v3", 5.71),
        ("resnet18", 1.81),
        ("resnet34", 3.66),
        ("resnet50", 4.09),
        ("resnext50_32x4d", 4.23),
        ("densenet121", 2.83),
    ],
)
def test_multiply_adds_are_the_published(name: str, published: float) -> None:
    """Tables count the last layer once; here it makes a map, and is counted at each of its places."""
    network, layers = traced(name)
    head, weights = [(m, p.numel()) for m, p in network.named_parameters() if p.ndim > 1 and "aux" not in m.lower()][-1]
    rows = [layer.multiply_adds for layer in layers if layer.name != head.removesuffix(".weight")]
    assert (sum(rows) + weights) / 1e9 == pytest.approx(published, abs=0.006)


@pytest.mark.parametrize(
    ("name", "layer", "field", "stride"),
    [
        ("lenet5", "features.0", 5, 1),
        ("lenet5", "features.2", 6, 2),
        ("lenet5", "features.3", 14, 2),
        ("lenet5", "features.5", 16, 4),
        ("alexnet_torchvision", "features.12", 195, 32),  # 11 + 8 + 32 + 16 + 3 * 32 + 32
        ("vgg16", "features.30", 212, 32),  # 6, 16, 44, 100, 212 at the five poolings
        ("resnet18", "layer4.1.conv2", 435, 32),
        ("resnet50", "layer4.2.conv3", 427, 32),  # 11 + 24 + 56 + 176 + 160: strides in the 3 x 3, as in torchvision
    ],
)
def test_fields_are_those_of_hand_arithmetic(name: str, layer: str, field: int, stride: int) -> None:
    _, layers = traced(name)
    (row,) = [row for row in layers if row.name == layer and row.multiply_adds | (row.kind[:3] == "max")]
    assert (row.receptive_field, row.stride) == ((field,) * 2, (stride,) * 2)


def test_lenet_by_hand() -> None:
    """LeCun 1998's layers: what each holds, learns and multiplies."""
    rows = [(r.kind, r.shape, r.parameters, r.multiply_adds, r.memory) for r in traced("lenet5", classes=10)[1]]
    assert rows[:4] == [
        ("conv 5x5", (6, 28, 28), 6 * 26, 28 * 28 * 6 * 25, 2 * 4 * 6 * 28 * 28),  # with its ReLU's output
        ("max pool 2x2/2", (6, 14, 14), 0, 0, 4 * 6 * 14 * 14),
        ("conv 5x5", (16, 10, 10), 16 * 151, 100 * 16 * 150, 2 * 4 * 16 * 100),
        ("max pool 2x2/2", (16, 5, 5), 0, 0, 4 * 16 * 25),
    ]
    assert [row[2] for row in rows[4:]] == [401 * 120, 121 * 84, 85 * 10]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("unet", {"base_width": 2, "depth": 3}),
        ("unet", {"base_width": 2, "depth": 2, "up": "bilinear"}),
        ("unet", {"base_width": 2, "depth": 2, "convolutions": "valid"}),
        ("fcn_unpool", {"base_width": 2, "convolutions": (1, 2)}),
    ],
)
def test_segmenters_fields_are_those_of_gradients(name: str, options: dict) -> None:
    """Where paths of several resolutions meet, the field depends on the place: the largest is compared."""
    network = ARCHITECTURES[name](1, 2, **options)
    found = segmenter_geometry(network, in_channels=1)
    size = found.min_size + 128 // found.step * found.step
    field, reach = gradients.segmenter_geometry(network, in_channels=1, size=size, step=found.step)
    assert found.receptive_field == field
    assert found.border or found.halo - found.step < reach <= found.halo


@pytest.mark.parametrize(
    ("name", "options", "size"),
    [
        ("resnet18", {"width": 2, "map_stride": 16}, 64),
        ("densenet121", {"growth": 2, "blocks": (2, 2, 1, 1)}, 64),
        ("cnn1d", {}, 64),
        ("lenet5", {}, 32),
    ],
)
def test_classifiers_fields_are_those_of_gradients(name: str, options: dict, size: int) -> None:
    network = ARCHITECTURES[name](1, 2, **options)
    found = classifier_geometry(network, in_channels=1, size=size)
    assert (found.receptive_field, found.stride, found.origin) == gradients.classifier_geometry(
        network, in_channels=1, size=size, far=1024
    )


@pytest.mark.parametrize(
    "chain",
    [
        [nn.Conv1d(1, 1, 3, padding=1), nn.Conv1d(1, 1, 5, stride=3, padding=2), nn.Conv1d(1, 1, 3, dilation=2)],
        [nn.Conv1d(1, 1, 2, stride=2), nn.ConvTranspose1d(1, 1, 4, stride=2, padding=1), nn.Conv1d(1, 1, 3, stride=2)],
        [nn.AvgPool1d(3, stride=3), nn.ConvTranspose1d(1, 1, 3, stride=2), nn.ConvTranspose1d(1, 1, 2, stride=2)],
    ],
    ids=["strided", "up and down", "up by more"],
)
def test_each_place_sees_what_its_gradient_reaches(chain: list[nn.Module]) -> None:
    reach = PIXEL
    for layer in chain:
        for parameter in layer.parameters():
            nn.init.ones_(parameter)
        sizes = {k: v[0] if isinstance(v := getattr(layer, f"{k}"), tuple) else v for k in ("stride", "padding")}
        kernel, dilation = torch.as_tensor(layer.kernel_size).view(-1)[0], getattr(layer, "dilation", (1,))[0]
        rule = after_transposed_convolution if isinstance(layer, nn.ConvTranspose1d) else after_window
        reach = rule(reach, kernel=int(kernel), dilation=dilation, **sizes)
    x = torch.ones(1, 1, 90, requires_grad=True)
    *_, y = accumulate(chain, lambda value, layer: layer(value), initial=x)
    for place in range(y.shape[2] // 3, 2 * y.shape[2] // 3):
        (gradient,) = torch.autograd.grad(y[0, 0, place], x, retain_graph=True)
        pixels = torch.nonzero(gradient[0, 0])[:, 0]
        assert reach.at(place) == (int(pixels[0]), int(pixels[-1]))


def test_paths_of_different_strides_have_no_common_field() -> None:
    fine, coarse = after_window(PIXEL, kernel=3, stride=1), after_window(PIXEL, kernel=3, stride=2)
    assert union([fine, PIXEL]) == after_window(PIXEL, kernel=3, stride=1, padding=0)
    assert union([fine, coarse]) is None


@pytest.mark.parametrize(
    ("size", "wanted"),
    [((32,), (3, 32, 32)), ((32, 48), (3, 32, 48)), ((1, 32, 48), (1, 32, 48))],
)
def test_input(size: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    assert input_shape(nn.Conv2d(1, 1, 3), 3, size) == wanted


def test_the_table_of_a_recipe() -> None:
    recipe = Path("training/recipes/digits.toml")
    lines = main(str(recipe), classes=10, batch=32).splitlines()
    assert lines[0].split("  ")[0] == "layer"
    assert lines[1].split() == ["features.0", "conv", "5x5", "6x28x28", "156", "117,600", "5", "1", "1.15", "MiB"]
    assert "whole image" in lines[5]
    assert "parameters     61,706" in lines


def test_what_it_is_not_given_it_asks_for() -> None:
    with pytest.raises(ValueError, match="--input"):
        main("resnet18", classes=2, batch=1)
    with pytest.raises(ValueError, match="neither a recipe file nor one of"):
        main("resnet19", size=(32,), classes=2, batch=1)
    with pytest.raises(ValueError, match="2 axes"):
        main("resnet18", size=(1, 2, 3, 4), classes=2, batch=1)
