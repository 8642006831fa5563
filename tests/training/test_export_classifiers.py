"""Each family of classifiers in ONNX: PyTorch's probabilities, and maps that the network's own weights explain.

At small sizes: narrow networks where the family has a width, whole ones of few classes where it has none (GoogLeNet,
Inception-v3, AlexNet's convolutions). Numbers of layers are the published ones.
"""

from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from torch import Tensor, nn

from models.architectures import ARCHITECTURES
from training.build import Exported, Normalised
from training.config import InputConfig
from training.onnx_export import prove, run, to_onnx

pytestmark = pytest.mark.slow
TEMPERATURE = 4.0
GLOBAL_AVERAGE = [  # name, options, side in px, the head's linear layer
    ("resnet18", {"width": 8}, 64, "fc"),
    ("resnet34", {"width": 8}, 64, "fc"),
    ("resnet50", {"width": 8}, 64, "fc"),
    ("resnext50_32x4d", {"width": 16}, 64, "fc"),
    ("densenet121", {"growth": 4}, 64, "classifier"),
    ("googlenet", {}, 64, "fc"),
    ("inception_v3", {"auxiliary_weight": 0}, 139, "fc"),  # at 107 px its maps round too much without AVX-512
]
DENSE = [  # name, options, side in px, the layer whose features the maps weigh
    ("lenet5", {}, 32, "features"),
    ("alexnet", {"hidden": 16}, 224, "features"),
    ("alexnet_torchvision", {"hidden": 16}, 130, "avgpool"),  # 3 x 3, spread over 6 x 6
    ("vgg16", {"hidden": 16, "width": 8}, 224, "features"),
    ("vgg16_bn", {"hidden": 16, "width": 8}, 64, "avgpool"),  # 2 x 2, spread over 7 x 7
]


def exported(name: str, options: dict[str, Any], side: int) -> tuple[Exported, np.ndarray]:
    """A network of three classes in which every layer has a say, and two images (2, 1, side, side)."""
    torch.manual_seed(0)
    body = ARCHITECTURES[name](1, 3, **options)
    for module in body.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            module.momentum = None  # what it sees next becomes its statistics
    contrast = np.linspace(0.5, 3, 16, dtype=np.float32)[:, None, None, None]
    images = 10 + contrast * np.random.default_rng(0).normal(0, 5, (16, 1, side, side)).astype(np.float32)
    config = InputConfig(channels=1, size=(side, side), steps=({"id": "ensure_dtype"},), mean=(10.0,), std=(5.0,))
    network = Normalised(body, config)
    with torch.no_grad():
        network.train()(torch.from_numpy(images))
    return Exported(network, activation="softmax", temperature=TEMPERATURE).eval(), images[[0, -1]]


def answered(network: Exported, images: np.ndarray) -> dict[str, Tensor]:
    """What ONNX Runtime answers, after export's own proof, and not the same for both images."""
    weights = to_onnx(network, images[:1], step=None)
    prove(network, weights, [image[None] for image in images])
    found = {name: torch.from_numpy(value) for name, value in run(weights, images).items()}
    assert (found["probabilities"][0] - found["probabilities"][1]).abs().max() > 1e-3
    return found


@pytest.mark.parametrize(("name", "options", "side", "head"), GLOBAL_AVERAGE, ids=lambda value: str(value))
def test_a_map_is_the_features_times_the_heads_weights(name: str, options: dict, side: int, head: str) -> None:
    network, images = exported(name, options, side)
    found, fc = answered(network, images), network.network.body.get_submodule(head)
    with torch.no_grad():
        features = network.network.body.features(network.network.normalise(torch.from_numpy(images)))
        cam = torch.einsum("nkhw,ck->nchw", features, fc.weight)
        logits = features.mean(dim=(2, 3)) @ fc.weight.T + fc.bias
    torch.testing.assert_close(found["cam"], cam, rtol=0, atol=1e-4 * float(cam.abs().max()))
    torch.testing.assert_close(found["probabilities"], (logits / TEMPERATURE).softmax(dim=1), rtol=0, atol=1e-4)


@pytest.mark.parametrize(("name", "options", "side", "layer"), DENSE, ids=lambda value: str(value))
def test_a_dense_heads_map_is_grad_cam(name: str, options: dict, side: int, layer: str) -> None:
    network, images = exported(name, options, side)
    found = answered(network, images)
    independent = LayerGradCam(network.network, network.network.body.get_submodule(layer))
    for label in range(3):
        theirs = independent.attribute(torch.from_numpy(images), target=label, relu_attributions=False)[:, 0].detach()
        ours = found["cam"][:, label]
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4 * float(theirs.abs().max()))
