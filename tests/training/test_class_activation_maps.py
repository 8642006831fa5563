"""The maps in the exported graph against an independent Grad-CAM (Captum's LayerGradCam), on real images."""

from pathlib import Path

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam

from models.preprocess import prepare
from tests.data import real_data
from training.build import Exported, build
from training.config import read_recipe
from training.data.examples import read_image
from training.onnx_export import run, to_onnx

RECIPE = read_recipe(Path("training/recipes/pneumonia.toml"))


@pytest.fixture(scope="module")
def radiographs() -> np.ndarray:
    """(8, 1, 192, 192) float32: chest X-rays as the pneumonia recipe prepares them."""
    files = sorted(real_data("kermany_cxr/test").rglob("*.jpeg"))[::80]
    config = RECIPE.input
    prepared = [prepare(read_image(file), channels=1, size=config.size, steps=config.steps) for file in files]
    return np.stack(prepared)


def scaled(cam: np.ndarray) -> np.ndarray:
    """(N, h, w) -> its positive part over its maximum, as Grad-CAM is shown."""
    positive = cam.clip(min=0)
    return positive / np.maximum(positive.max(axis=(1, 2), keepdims=True), 1e-12)


def test_onnx_cam_of_the_resnet_is_grad_cam(radiographs: np.ndarray) -> None:
    torch.manual_seed(0)
    network = build(RECIPE, classes=2)
    x = torch.from_numpy(radiographs)
    network.train()(x)  # batch statistics of real images
    network.eval()
    weights = to_onnx(Exported(network, activation="softmax", temperature=1.0).eval(), radiographs[:1], step=None)
    cam = run(weights, radiographs)["cam"]  # (8, 2, 12, 12)
    independent = LayerGradCam(network, network.body.layer4)
    for label in (0, 1):
        attribution = independent.attribute(x, target=label).detach().numpy()[:, 0]  # (8, 12, 12)
        assert scaled(attribution).max() == 1
        assert np.abs(scaled(cam[:, label]) - scaled(attribution)).max() < 1e-4
