"""Packages small enough to read: two convolutions each, one for each task and way of using the description."""

from collections.abc import Mapping
from typing import Any

import imagecodecs
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from pydantic import TypeAdapter

from models.image import Array
from models.preprocess import AnyStep, prepare
from tests.models.tiny_descriptions import (
    SIDE,
    classifier_fields,
    everything_fields,
    multi_label_fields,
    segmenter_fields,
    signal_fields,
    valid_segmenter_fields,
)
from tests.package_parts import CAM, HIRESCAM, PROBABILITIES, tap

FLOAT = TensorProto.FLOAT


def random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def graph(nodes: list[Any], weights: Mapping[str, Array], *, channels: int, outputs: Mapping[str, list[Any]]) -> bytes:
    """An ONNX file from "image" (N, channels, H, W) to the named outputs; opset 17, which older runtimes have."""
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "tiny",
            [helper.make_tensor_value_info("image", FLOAT, ["N", channels, "H", "W"])],
            [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in outputs.items()],
            [numpy_helper.from_array(array, name) for name, array in weights.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.checker.check_model(model)
    return model.SerializeToString()


def activate(activation: str) -> Any:
    return helper.make_node(
        activation, ["logits"], ["probabilities"], **({"axis": 1} if activation == "Softmax" else {})
    )


def classifier_graph(*, channels: int, classes: int, activation: str, rows: int = 3) -> bytes:
    """activation(mean(cam) + b) with cam = conv1x1(relu(conv3x3 of stride 3)): SIDE 16 -> 5; rows: of that kernel."""
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["c1"], strides=[rows, 3]),
        helper.make_node("Relu", ["c1"], ["features"]),
        helper.make_node("Conv", ["features", "w2"], ["cam"]),
        helper.make_node("ReduceMean", ["cam"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("Add", ["mean", "b"], ["logits"]),
        activate(activation),
    ]
    first = random(4, channels, rows, 3)
    weights = {"w1": first, "w2": random(classes, 4, 1, 1, seed=1), "b": random(classes, seed=2)}
    outputs = {"probabilities": ["N", classes], "cam": ["N", classes, "h", "w"]}
    return graph(nodes, weights, channels=channels, outputs=outputs)


def segmenter_graph(*, channels: int, classes: int, activation: str, padding: int) -> bytes:
    """activation(conv1x1(relu(conv3x3))); with padding 0 a border of one pixel is lost."""
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["c1"], pads=[padding] * 4),
        helper.make_node("Relu", ["c1"], ["features"]),
        helper.make_node("Conv", ["features", "w2"], ["logits"]),
        activate(activation),
    ]
    weights = {"w1": random(4, channels, 3, 3), "w2": random(classes, 4, 1, 1, seed=1)}
    outputs = {"probabilities": ["N", classes, "h", "w"]}
    return graph(nodes, weights, channels=channels, outputs=outputs)


def contents(kind: str) -> dict[str, Any]:
    """The arguments of `models.package.write` but the folder, for one of KINDS."""
    fields, weights = KINDS[kind]()
    spec_input = fields["input"]
    size = [side + (2 if fields.get("border") else 0) for side in spec_input.get("size", (SIDE, SIDE))]
    test_input = np.random.default_rng(3).integers(0, 256, (1, spec_input["channels"], *size)).astype(np.float32)
    steps = tuple(TypeAdapter(AnyStep).validate_python(step) for step in spec_input["steps"])
    tensor = prepare(test_input[0].transpose(1, 2, 0), channels=spec_input["channels"], size=None, steps=steps)
    session = onnxruntime.InferenceSession(weights, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    test_outputs = dict(zip(names, session.run(names, {"image": tensor[None]})))
    readme = f"# {fields['name']}\n\n{fields['description']}\n\n## Validation\n\nNone: its weights are random.\n"
    return {
        "fields": fields,
        "weights": weights,
        "test_input": test_input,
        "test_outputs": test_outputs,
        "readme": readme,
        "filters": random(4, spec_input["channels"], 3, 3) if fields["name"] == "tiny-tapped" else None,
        "attachments": {"cover.png": imagecodecs.png_encode(np.zeros((8, 8, 3), np.uint8)), "report.json": b"{}"},
    }


def _classifier() -> tuple[dict[str, Any], bytes]:
    return classifier_fields(), classifier_graph(channels=1, classes=3, activation="Softmax")


def _multi_label() -> tuple[dict[str, Any], bytes]:
    return multi_label_fields(), classifier_graph(channels=3, classes=4, activation="Sigmoid")


def _tapped() -> tuple[dict[str, Any], bytes]:
    """The classifier, whose graph also gives its features, and its maps once more."""
    model = onnx.load_from_string(classifier_graph(channels=1, classes=3, activation="Softmax"))
    for name, source, channels in (("hirescam", "cam", 3), ("tap_features", "features", 4)):
        model.graph.node.append(helper.make_node("Identity", [source], [name]))
        model.graph.output.append(helper.make_tensor_value_info(name, FLOAT, ["N", channels, "h", "w"]))
    grid = {"size": (5, 5), "stride": 4}
    features = {"size": (4, 5, 5), "receptive_field": 3, "origin": 1.0, "stride": 3, "tolerance": 3e-4}
    outputs = [
        PROBABILITIES,
        CAM | {"method": "gradcam"} | grid,
        HIRESCAM | {"tolerance": 2e-4} | grid,
        tap("features", **features),
    ]
    return classifier_fields() | {"name": "tiny-tapped", "outputs": outputs}, model.SerializeToString()


def _signal() -> tuple[dict[str, Any], bytes]:
    return signal_fields(), classifier_graph(channels=4, classes=3, activation="Softmax", rows=1)


def _segmenter() -> tuple[dict[str, Any], bytes]:
    return segmenter_fields(), segmenter_graph(channels=3, classes=2, activation="Sigmoid", padding=1)


def _valid_segmenter() -> tuple[dict[str, Any], bytes]:
    return valid_segmenter_fields(), segmenter_graph(channels=1, classes=3, activation="Softmax", padding=0)


def _everything() -> tuple[dict[str, Any], bytes]:
    return everything_fields(), _segmenter()[1]


KINDS = {
    "classifier": _classifier,
    "multi_label": _multi_label,
    "tapped": _tapped,
    "signal": _signal,
    "segmenter": _segmenter,
    "valid_segmenter": _valid_segmenter,
    "everything": _everything,
}
