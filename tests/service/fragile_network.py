"""Fragile network: a classifier that ONNX Runtime fails to run on a white image."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from tests import package_parts


def fragile(root: Path) -> None:
    """A classifier of 8 x 8 grey images that ONNX Runtime fails to run on a white one: it looks up the third of two."""
    weights = package_parts.graph(
        [
            helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1, 2, 3], keepdims=0),  # (N,)
            helper.make_node("Mul", ["mean", "two"], ["twice"]),
            helper.make_node("Cast", ["twice"], ["place"], to=TensorProto.INT64),  # 2 for white alone
            helper.make_node("Gather", ["table", "place"], ["logits"]),  # (N, 2)
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ],
        constants={"two": np.array(2.001), "table": np.array([[1.0, 0.0], [0.0, 1.0]])},
        inputs=("N", 1, 8, 8),
        outputs={"probabilities": ("N", 2)},
    )
    spec = {
        "name": "fragile",
        "version": "1.0",
        "description": "Fails on white.",
        "task": "classification",
        "architecture": "tiny",
        "input": {"channels": 1, "size": (8, 8), "smallest_image": 4, "steps": package_parts.TO_UNIT},
        "classes": [{"label": "dark"}, {"label": "bright"}],
        "activation": "softmax",
        "receptive_field": 8,
        "stride": 8,
    }
    package_parts.write_package(root, spec, weights, package_parts.ramp(1, 8))
