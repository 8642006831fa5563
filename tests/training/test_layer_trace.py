"""Tests of the layer trace: parameters, operations and receptive fields that papers and hand arithmetic give."""

import pytest
import torch
from torch import nn

from models.architectures import ARCHITECTURES
from training.layer_trace import Layer, trace
from training.summary import input_shape
from training.user_errors import RecipeError

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


def test_an_operation_is_named_for_its_module_or_for_itself_inside_it() -> None:
    """A shortcut's sum is no module: it is the block's own. Its ReLU works in place and has no row."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 2, 3, stride=2, dilation=2, padding=2)
            self.pool = nn.AvgPool2d(2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu_(self.conv(x) + self.pool(x))

    with torch.device("meta"):
        network = nn.Sequential(nn.Identity(), Block())
    rows = trace(network, shape=(2, 8, 8))
    assert [(row.name, row.kind, row.shape) for row in rows] == [
        ("1.conv", "conv 3x3/2 dilated 2", (2, 4, 4)),
        ("1.pool", "avg pool2d 2x2/2", (2, 4, 4)),
        ("1.add", "add", (2, 4, 4)),
    ]
    assert [row.receptive_field for row in rows] == [(5, 5), (2, 2), (5, 5)]
    assert [row.stride for row in rows] == [(2, 2)] * 3


def test_a_shared_layer_is_counted_once() -> None:
    with torch.device("meta"):
        layer = nn.Conv2d(1, 1, 3, bias=False)
    assert [row.parameters for row in trace(nn.Sequential(layer, layer), shape=(1, 8, 8))] == [9, 0]


def test_an_image_that_the_network_cannot_take_is_an_error_of_the_recipe() -> None:
    with torch.device("meta"):
        network = nn.Conv2d(3, 1, 5)
    with pytest.raises(RecipeError, match=r"cannot take an input of \(1, 8, 8\) \(channels, px"):
        trace(network, shape=(1, 8, 8))
    with pytest.raises(RecipeError, match=r"cannot take an input of \(3, 4, 4\)"):
        trace(network, shape=(3, 4, 4))
