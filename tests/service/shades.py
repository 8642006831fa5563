"""A classifier with layers, filters and gradient maps whose values are known."""

from pathlib import Path
from typing import Any

import numpy as np
from onnx import helper

from models.package import Package, write
from tests import package_parts, tiny

FILTERS = np.arange(3 * 4, dtype=np.float32).reshape(3, 1, 2, 2)


def shades(root: Path) -> Package:
    """tiny.brightness with its 2 x 2 block means, and them times 1, 2 and -1, as layers; "cam" is called gradcam."""
    weights = package_parts.graph(
        [
            helper.make_node("AveragePool", ["x"], ["tap_blocks"], kernel_shape=[2, 2], strides=[2, 2]),
            helper.make_node("Mul", ["tap_blocks", "factors"], ["tap_three_times"]),
            helper.make_node("Conv", ["tap_blocks", "weight"], ["cam"]),
            helper.make_node("Mul", ["cam", "ten"], ["hirescam"]),
            helper.make_node("ReduceMean", ["cam"], ["means"], axes=[2, 3], keepdims=0),
            helper.make_node("Add", ["means", "bias"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ],
        constants={
            "weight": tiny.BRIGHTNESS_WEIGHTS.reshape(3, 1, 1, 1),
            "bias": tiny.BRIGHTNESS_BIAS,
            "ten": np.array(10.0),
            "factors": np.array([1.0, 2.0, -1.0]).reshape(1, 3, 1, 1),
        },
        inputs=("N", 1, 8, 8),
        outputs={
            "probabilities": ("N", 3),
            "cam": ("N", 3, 4, 4),
            "hirescam": ("N", 3, 4, 4),
            "tap_blocks": ("N", 1, 4, 4),
            "tap_three_times": ("N", 3, 4, 4),
        },
    )
    blocks = {"receptive_field": 2, "origin": 0.5, "stride": 2}
    spec = {
        "name": "shades",
        "version": "1.0",
        "description": "Is it bright?",
        "task": "classification",
        "architecture": "tiny",
        "input": {"channels": 1, "size": (8, 8), "smallest_image": 4, "steps": package_parts.TO_UNIT},
        "classes": [{"label": "dark"}, {"label": "bright"}, {"label": "neither"}],
        "activation": "softmax",
        "outputs": [
            package_parts.PROBABILITIES,
            package_parts.CAM | {"method": "gradcam", "size": (4, 4), "origin": 0.5, "stride": 2},
            package_parts.HIRESCAM | {"size": (4, 4), "origin": 0.5, "stride": 2},
            package_parts.tap("blocks", size=(1, 4, 4), **blocks),
            package_parts.tap("three.times", size=(3, 4, 4), **blocks),
        ],
        "receptive_field": 2,
        "stride": 2,
    }
    ramp = package_parts.ramp(1, 8)
    names = ("probabilities", "cam", "hirescam", "tap_blocks", "tap_three_times")
    outputs = package_parts.run(weights, ramp / np.float32(255), names)
    files: dict[str, Any] = {"test_input": ramp, "test_outputs": outputs, "filters": FILTERS}
    return write(root / "shades/1.0", spec, weights=weights, readme="Tiny.", **files)


def shades_and_brightness(root: Path) -> Path:
    """Writes it beside a model without layers; returns the folder."""
    shades(root)
    tiny.brightness(root)
    return root
