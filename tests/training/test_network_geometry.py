"""Strides and receptive fields that the papers' arithmetic gives."""

import numpy as np
import pytest
import torch

from models.architectures import ARCHITECTURES
from models.geometry import Geometry
from models.preprocess import pad
from tests.training import gradients
from training.network_geometry import classifier_geometry, head_sees_whole_map, segmenter_geometry


@pytest.mark.parametrize(
    ("name", "options", "size", "stride", "field"),
    [
        ("lenet5", {}, 32, 4, 16),  # 5, 6, 14, 16 by hand
        ("resnet18", {"width": 2}, 224, 32, 435),
        ("resnet34", {"width": 2}, 224, 32, 899),
        ("resnet18", {"width": 2, "map_stride": 16}, 224, 16, 467),
        ("resnet18", {"width": 2, "stem": "small"}, 28, 8, 109),
    ],
)
def test_classifier(name: str, options: dict, size: int, stride: int, field: int) -> None:
    found = classifier_geometry(ARCHITECTURES[name](1, 2, **options), in_channels=1, size=size)
    assert (found.stride, found.receptive_field) == (stride, field)


@pytest.mark.parametrize(
    ("name", "options", "origin"),
    [("lenet5", {}, 7.5), ("resnet18", {"width": 2}, 0), ("resnet18", {"width": 2, "stem": "small"}, 0)],
)
def test_a_bright_pixel_moves_the_map_around_its_own_place(name: str, options: dict, origin: float) -> None:
    """Padded layers of odd kernels are centred on the pixels they start from, unpadded ones half a field inside."""
    found = classifier_geometry(ARCHITECTURES[name](1, 2, **options), in_channels=1, size=32)
    assert found.origin == pytest.approx(origin, abs=0.5)


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"depth": 4}, Geometry(16, 204, halo=96, border=0, min_size=16, step=16)),
        ({"depth": 3}, Geometry(8, 100, halo=48, border=0, min_size=8, step=8)),
        # The paper's: 572 -> 388 loses 92 on each side, and 572 = 188 + 24 * 16.
        ({"depth": 4, "convolutions": "valid"}, Geometry(16, 204, halo=0, border=92, min_size=188, step=16)),
    ],
)
def test_segmenter(options: dict, wanted: Geometry) -> None:
    assert segmenter_geometry(ARCHITECTURES["unet"](1, 2, base_width=2, **options), in_channels=1) == wanted


def test_halo_is_enough_and_no_larger_than_needed() -> None:
    """Changing all pixels farther than the halo from an aligned block changes nothing in it; one stride nearer does."""
    torch.manual_seed(0)
    network = ARCHITECTURES["unet"](1, 1, base_width=4, depth=2, norm="none").double().eval()
    geometry = segmenter_geometry(network, in_channels=1)
    x = torch.randn(1, 1, 96, 96, dtype=torch.float64)
    block = slice(48, 48 + geometry.stride)

    def change_beyond(halo: int) -> float:
        changed = torch.randn_like(x)
        near = slice(block.start - halo, block.stop + halo)
        changed[:, :, near, near] = x[:, :, near, near]
        return float((network(changed) - network(x))[:, :, block, block].abs().max())

    with torch.no_grad():
        assert change_beyond(geometry.halo) == 0
        assert change_beyond(geometry.halo - geometry.stride) > 0


def test_valid_network_on_mirrored_borders_answers_every_pixel() -> None:
    network = ARCHITECTURES["unet"](1, 1, base_width=2, depth=1, convolutions="valid").eval()
    g = segmenter_geometry(network, in_channels=1)
    padded = pad(np.zeros((1, 37, 50), np.float32), min_size=g.min_size, step=g.step, border=g.border)
    out = network(torch.from_numpy(padded)[None])
    assert out.shape[2] >= 37
    assert out.shape[3] >= 50


@pytest.mark.parametrize(
    ("name", "options", "whole"),
    [
        ("lenet5", {}, True),
        ("vgg16", {}, True),
        ("alexnet", {}, True),
        ("cnn1d", {"aligned": 57}, True),
        ("cnn1d", {}, False),
        ("resnet18", {}, False),
        ("densenet121", {}, False),
    ],
)
def test_dense_layers_see_the_whole_map_and_a_mean_does_not(name: str, options: dict, whole: bool) -> None:
    """So an image larger than the receptive field is no reason to warn where they follow."""
    with torch.device("meta"):
        assert head_sees_whole_map(ARCHITECTURES[name](3, 2, **options)) is whole


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
