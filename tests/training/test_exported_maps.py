"""Maps of dense heads and layers in the exported graph against Captum, and where the package says that they lie."""

from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import LayerActivation, LayerGradCam, LayerGradientXActivation
from torch import nn

from models.architectures.lenet import LeNet5
from models.architectures.vgg import VGG16BN
from models.image import Array
from training.build import Exported, Normalised
from training.config import InputConfig
from training.exported_maps import first_filters, map_outputs
from training.network_geometry import classifier_geometry
from training.onnx_export import TOLERANCE, in_precision, prove, run, to_onnx

LENET_TAPS = ("features.1", "features.2", "features.5")
VGG_TAPS = ("features.5", "features.6")


def lenet() -> tuple[Exported, int, str]:
    return exported(LeNet5(1, 4), 32, taps=LENET_TAPS), 32, "features"


def vgg() -> tuple[Exported, int, str]:
    """Its features are 2 x 2, which are spread over the 7 x 7 that the dense layers take."""
    return exported(VGG16BN(1, 4, width=4, hidden=24), 64, taps=VGG_TAPS), 64, "avgpool"


def exported(body: nn.Module, side: int, *, taps: tuple[str, ...]) -> Exported:
    for module in body.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    config = InputConfig(channels=1, size=(side, side), steps=(), mean=(0.4,), std=(0.2,))
    return Exported(Normalised(body, config), activation="softmax", temperature=1.5, taps=taps).eval()


@pytest.fixture(
    scope="module", params=[lenet, pytest.param(vgg, marks=pytest.mark.slow)], ids=lambda make: make.__name__
)
def example(request: pytest.FixtureRequest) -> tuple[Exported, str, Array, bytes]:
    """What is exported, the layer of its maps, two images, and the ONNX file."""
    torch.manual_seed(0)
    network, side, layer = request.param()
    x = np.random.default_rng(0).uniform(0, 1, (2, 1, side, side)).astype(np.float32)
    weights = to_onnx(network, x[:1], step=None)
    return network, layer, x, weights


def captum(network: Exported, kind: Any, layer: str, x: Array, **options: Any) -> Array:
    found = kind(network.network, network.network.body.get_submodule(layer)).attribute(torch.from_numpy(x), **options)
    return found.detach().numpy()


@pytest.mark.parametrize("label", [0, 3])
def test_onnx_maps_are_captums(example: tuple[Exported, str, Array, bytes], label: int) -> None:
    network, layer, x, weights = example
    outputs = run(weights, x)
    gradcam = captum(network, LayerGradCam, layer, x, target=label, relu_attributions=False)[:, 0]
    hirescam = captum(network, LayerGradientXActivation, layer, x, target=label).sum(axis=1)
    for name, theirs in (("cam", gradcam), ("hirescam", hirescam)):
        scale = np.abs(theirs).max()
        assert scale > 0
        np.testing.assert_allclose(outputs[name][:, label] / scale, theirs / scale, rtol=0, atol=1e-4)


def test_onnx_taps_are_what_the_layers_give(example: tuple[Exported, str, Array, bytes]) -> None:
    network, _, x, weights = example
    outputs = run(weights, x)
    for layer in network.taps:
        theirs = captum(network, LayerActivation, layer, x)
        np.testing.assert_allclose(outputs["tap_" + layer.replace(".", "_")], theirs, rtol=1e-4, atol=1e-4)


def test_half_precision_keeps_its_tolerance(example: tuple[Exported, str, Array, bytes]) -> None:
    network, _, x, _ = example
    prove(network, to_onnx(in_precision(network, "half"), x[:1], step=None), [x], tolerance=TOLERANCE["half"])


def described(example: tuple[Exported, str, Array, bytes]) -> list[dict[str, Any]]:
    network, _, x, weights = example
    side = x.shape[2]
    geometry = classifier_geometry(network.network.body, in_channels=1, size=side)
    tolerances = prove(network, weights, [x])
    return map_outputs(network, geometry, run(weights, x[:1]), tolerances, side=side)


def test_the_package_says_where_maps_and_layers_lie(example: tuple[Exported, str, Array, bytes]) -> None:
    cam, hirescam, *taps = described(example)
    assert (cam["role"], cam["method"]) == ("cam", "gradcam")
    assert (hirescam["role"], hirescam["method"]) == ("hirescam", "hirescam")
    places = {tap["layer"]: (tap["receptive_field"], tap["origin"], tap["stride"]) for tap in taps}
    sizes = {tap["layer"]: tap["size"] for tap in taps}
    where = (cam["size"], cam["origin"], cam["stride"])
    assert where == (hirescam["size"], hirescam["origin"], hirescam["stride"])
    if example[0].taps == LENET_TAPS:  # 5 x 5 without padding, then 2 x 2
        assert places == {"features.1": (5, 2, 1), "features.2": (6, 2.5, 2), "features.5": (16, 7.5, 4)}
        assert sizes == {"features.1": (6, 28, 28), "features.2": (6, 14, 14), "features.5": (16, 5, 5)}
        assert where == ((5, 5), 7.5, 4)
    else:  # two 3 x 3, then 2 x 2; and sevenths of the input
        assert places == {"features.5": (5, 0, 1), "features.6": (6, 0.5, 2)}
        assert sizes == {"features.5": (4, 64, 64), "features.6": (4, 32, 32)}
        assert where == ((7, 7), pytest.approx(64 / 14 - 0.5), pytest.approx(64 / 7))


def test_the_first_filters_are_the_first_convolutions() -> None:
    network = LeNet5(3, 4)
    filters = first_filters(network)
    assert filters.shape == (6, 3, 5, 5)
    np.testing.assert_array_equal(filters, network.features[0].weight.detach().numpy())


def test_a_layer_without_maps_is_no_tap() -> None:
    network = exported(LeNet5(1, 4), 32, taps=("fc1",))
    outputs = {"cam": np.zeros((1, 4, 5, 5)), "tap_fc1": np.zeros((1, 120))}
    geometry = classifier_geometry(network.network.body, in_channels=1, size=32)
    with pytest.raises(ValueError, match=r"'fc1' outputs \(120,\); a tap needs feature maps"):
        map_outputs(network, geometry, outputs, dict.fromkeys(outputs, 1e-4), side=32)
