"""Networks for the GPU benchmarks: float32 and half precision packages with the same random weights."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.networks import CACHE, CLASSES, Network
from models import package
from models.architectures.densenet import DenseNet121
from models.architectures.resnet import ResNet18, ResNet50
from models.preprocess import ScaleLinear, prepare
from models.spec import Precision
from training.build import Exported, Normalised
from training.config import InputConfig
from training.onnx_export import TOLERANCE, in_precision, prove, run, to_onnx

BODIES: dict[str, tuple[Callable[[int, int], nn.Module], int]] = {  # and the side of its input, px
    "resnet50": (ResNet50, 224),
    "densenet121": (DenseNet121, 224),
    "minute": (partial(ResNet18, width=4, stem="small"), 32),
}

SCALE = ScaleLinear(gain=1 / 127.5, offset=-1.0)  # 8-bit intensities -> [-1, 1]


def network(name: str, precision: Precision) -> Network:
    """Returns one of BODIES; the first call builds and verifies it, which takes a minute or two for a large one."""
    known = f"{name}-{precision}"
    root = CACHE / "gpu" / known
    if not (root / known / "1" / package.RDF).exists():
        _write(name, precision, root / known / "1")
    return Network(root, package.read(root / known / "1"))


def body(name: str) -> nn.Module:
    """Blocks of a fresh residual network do nothing, which no trained one's do; and its classes are hardly apart."""
    torch.manual_seed(0)
    made = BODIES[name][0](3, CLASSES)
    for module in made.modules():
        if last_norm := getattr(module, "last_norm", None):
            nn.init.constant_(last_norm.weight, 0.2)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.5)
    return made


def _write(name: str, precision: Precision, folder: Path) -> None:
    side = BODIES[name][1]
    normalised = Normalised(body(name), InputConfig(channels=3, steps=()))
    exported = Exported(normalised, activation="softmax", temperature=1.0).eval()
    raw = np.random.default_rng(0).integers(0, 256, (1, 3, side, side)).astype(np.float32)
    x = prepare(raw[0].transpose(1, 2, 0), channels=3, size=None, steps=(SCALE,))[None]
    weights = to_onnx(in_precision(exported, precision), x, step=None)
    tolerances = prove(exported, weights, [x], tolerance=TOLERANCE[precision])
    outputs = run(weights, x)
    fields = {
        "name": folder.parent.name,
        "version": folder.name,
        "description": "Random weights, for benchmarks.",
        "task": "classification",
        "architecture": name,
        "input": {"channels": 3, "size": (side, side), "steps": (SCALE,)},
        "classes": [{"label": f"{number}"} for number in range(CLASSES)],
        "activation": "softmax",
        "outputs": [
            {
                "name": "probabilities",
                "role": "probabilities",
                "axes": "NC",
                "tolerance": tolerances["probabilities"],
            },
            {
                "name": "cam",
                "role": "cam",
                "method": "cam",
                "size": outputs["cam"].shape[2:],
                "stride": side / outputs["cam"].shape[2],
                "tolerance": tolerances["cam"],
            },
        ],
        "receptive_field": side,  # it plays no part here
        "stride": side // outputs["cam"].shape[2],
        "precision": precision,
    }
    readme = "Random weights, for benchmarks."
    package.write(folder, fields, weights=weights, test_input=raw, test_outputs=outputs, readme=readme)
