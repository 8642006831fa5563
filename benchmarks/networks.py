"""The networks that are measured, as model packages: built once, with random weights, in CACHE."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.images import Upload
from benchmarks.processes import ROOT
from models import package
from models.architectures.cam_head import classify_with_map
from models.architectures.resnet import BasicBlock, Bottleneck, ResNet, ResNet18, ResNet50
from models.architectures.unet import UNet
from models.decode import decode
from models.geometry import Geometry
from models.image import Array
from models.outputs import graph_name
from models.preprocess import ScaleLinear, pad, prepare
from models.spec import InputSpec, ModelSpec
from training.build import Exported, Normalised
from training.config import InputConfig
from training.network_geometry import classifier_geometry, segmenter_geometry
from training.onnx_export import run, to_onnx

CACHE = ROOT / "build/benchmarks"
STARTERS = ROOT / "models/starter"
ABOUT = "Random weights, for benchmarks."
STEPS = (ScaleLinear(gain=1 / 127.5, offset=-1.0),)  # 8-bit intensities -> [-1, 1]
CLASSES = 14  # as ChestX-ray14 has


@dataclass(frozen=True, slots=True)
class Network:
    """A package alone in its model repository `root`."""

    root: Path
    package: package.Package

    @property
    def spec(self) -> ModelSpec:
        return self.package.spec

    @property
    def weights(self) -> Path:
        return self.package.weights

    def tensor(self, upload: Upload) -> Array:
        """(1, C, H, W) float32: what the service gives the network for this image."""
        image, wants = decode(upload.data, max_pixels=2**24), self.spec.input
        x = prepare(image.pixels, channels=wants.channels, size=wants.size, steps=wants.steps)
        if wants.size is None:
            x = pad(x, min_size=wants.min_size, step=wants.step, border=self.spec.border)
        return x[None]


class Brightness(nn.Module):
    """x (N, 1, 8, 8) -> logits (N, 3): next to no arithmetic, so that what remains is the serving."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(1, 3)

    def features(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2)  # (N, 1, 4, 4)

    def forward_with_cam(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return classify_with_map(self.features(x), self.fc)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a network is made: its body, by width. side: px of its test input, and of its input where it classifies."""

    body: Callable[[int], nn.Module]
    width: int
    side: int
    channels: Literal[1, 3]
    classes: int
    segments: bool = False


def _resnet(family: Callable[..., ResNet], width: int) -> ResNet:
    """Residual branches of a fresh network are zero, which no trained one's are: here each counts for a fifth.

    The classes are driven apart, so that sides which saw different pixels would not agree by chance.
    """
    net = family(3, CLASSES, width=width)
    nn.init.normal_(net.fc.weight, std=0.5)
    for module in net.modules():
        if isinstance(module, BasicBlock | Bottleneck):
            nn.init.constant_(module.last_norm.weight, 0.2)
    return net


def _unet(width: int) -> UNet:
    return UNet(1, 2, depth=4, base_width=width)


RECIPES: dict[str, Recipe] = {
    "trivial": Recipe(lambda _: Brightness(), width=1, side=8, channels=1, classes=3),
    "resnet18": Recipe(partial(_resnet, ResNet18), width=64, side=224, channels=3, classes=CLASSES),
    "resnet50": Recipe(partial(_resnet, ResNet50), width=64, side=224, channels=3, classes=CLASSES),
    "unet-512": Recipe(_unet, width=32, side=512, channels=1, classes=2, segments=True),
}


def network(name: str) -> Network:
    """One of RECIPES, or a starter package."""
    root = CACHE / name
    if name in RECIPES:
        folder = root / name / "1"
        if not (folder / package.RDF).exists():
            _write(name, folder)
        return Network(root, package.read(folder))
    root.mkdir(parents=True, exist_ok=True)
    if not (root / name).exists():
        (root / name).symlink_to(STARTERS / name)
    return Network(root, package.read(max((root / name).iterdir())))


def torch_network(name: str) -> Exported:
    """One of RECIPES as PyTorch runs it, with the same random weights at every call."""
    torch.manual_seed(0)
    recipe = RECIPES[name]
    return Exported(
        Normalised(recipe.body(recipe.width), InputConfig(channels=recipe.channels, steps=())),
        activation="softmax",
        temperature=1.0,
    ).eval()


def _write(name: str, folder: Path) -> None:
    recipe, exported = RECIPES[name], torch_network(name)
    geometry = _geometry(recipe)
    wants = _input(recipe, geometry)
    pixels = np.random.default_rng(0).integers(0, 256, (recipe.side, recipe.side, recipe.channels)).astype(np.float32)
    x = prepare(pixels, channels=wants.channels, size=wants.size, steps=wants.steps)[None]
    weights = to_onnx(exported, x, step=geometry.step if recipe.segments else None)
    outputs = run(weights, x)
    fields = {
        "name": name,
        "version": "1",
        "description": ABOUT,
        "task": "segmentation" if recipe.segments else "classification",
        "architecture": name,
        "input": wants,
        "classes": [{"label": str(number)} for number in range(recipe.classes)],
        "activation": "softmax",
        "receptive_field": geometry.receptive_field,
        "stride": geometry.stride,
        "halo": geometry.halo,
        "outputs": [
            {"name": graph_name("probabilities"), "role": "probabilities", "axes": "NCYX" if recipe.segments else "NC"},
            *(_cam(name, maps, geometry) for name, maps in outputs.items() if name == graph_name("cam")),
        ],
    }
    raw = pixels.transpose(2, 0, 1)[None]
    package.write(folder, fields, weights=weights, test_input=raw, test_outputs=outputs, readme=ABOUT)


def _input(recipe: Recipe, geometry: Geometry) -> InputSpec:
    if recipe.segments:
        return InputSpec(channels=recipe.channels, min_size=geometry.min_size, step=geometry.step, steps=STEPS)
    return InputSpec(channels=recipe.channels, size=(recipe.side, recipe.side), steps=STEPS)


def _cam(name: str, maps: Array, geometry: Geometry) -> dict[str, Any]:
    places = {"size": maps.shape[2:], "origin": geometry.origin, "stride": geometry.stride}
    return {"name": name, "role": "cam", "method": "cam", **places}


def _geometry(recipe: Recipe) -> Geometry:
    """It does not depend on the width, and a thin network tells it in a moment."""
    thin = recipe.body(4)
    if recipe.segments:
        return segmenter_geometry(thin, in_channels=recipe.channels)
    return classifier_geometry(thin, in_channels=recipe.channels, size=recipe.side)
