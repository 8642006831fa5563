"""Building blocks of tiny model packages: graph, description and test input, and the package written from them."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from models.image import Array
from models.package import Package, write
from models.spec import ModelSpec

TO_UNIT = ({"id": "ensure_dtype"}, {"id": "scale_linear", "gain": 1 / 255})  # 8-bit intensities -> [0, 1]
PROBABILITIES = {"name": "probabilities", "role": "probabilities", "axes": "NC"}  # as descriptions have outputs
PROBABILITY_MAPS = PROBABILITIES | {"axes": "NCYX"}
CAM = {"name": "cam", "role": "cam", "method": "cam"}
HIRESCAM = {"name": "hirescam", "role": "hirescam", "method": "hirescam"}


def graph(
    nodes: list[onnx.NodeProto], *, constants: dict[str, Array], inputs: tuple[Any, ...], outputs: dict[str, tuple]
) -> bytes:
    """Nodes from "x" to the named outputs -> ONNX bytes; a shape's strings are free dimensions."""
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "tiny",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, inputs)],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
            [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()],
        ),
        ir_version=8,
        opset_imports=[helper.make_opsetid("", 17)],
    )
    onnx.checker.check_model(model)
    return model.SerializeToString()


def run(weights: bytes, x: Array, outputs: tuple[str, ...]) -> dict[str, Array]:
    session = onnxruntime.InferenceSession(weights, providers=["CPUExecutionProvider"])
    return dict(zip(outputs, session.run(list(outputs), {"x": x})))


def write_package(root: Path, fields: dict[str, Any], weights: bytes, test_input: Array) -> Package:
    """Writes root/<name>/<version>, its test outputs computed by running it as the service would."""
    fields = {"outputs": [probabilities_of(fields)], **fields}
    spec = spec_of(**fields)
    x = np.moveaxis(test_input[0], 0, 2)
    for step in spec.input.steps:
        x = step(x)
    outputs = run(weights, np.moveaxis(x, 2, 0)[None], spec.every_output)
    folder = root / fields["name"] / fields["version"]
    return write(folder, fields, weights=weights, test_input=test_input, test_outputs=outputs, readme="Tiny.")


def spec_of(**fields: Any) -> ModelSpec:
    """Returns the spec of a package whose files do not matter: a segmenter of one class, but for these fields."""
    fields = {
        "name": "network", "version": "1", "description": "", "task": "segmentation", "architecture": "tiny",
        "classes": [{"label": "a"}], "activation": "sigmoid", "receptive_field": 1, **fields,
    }  # fmt: skip
    outputs = [{**output, "test_tensor": FILE} for output in fields.get("outputs", [probabilities_of(fields)])]
    return ModelSpec.model_validate({**fields, "weights": FILE, "test_input": FILE, "outputs": outputs})


def probabilities_of(fields: dict[str, Any]) -> dict[str, Any]:
    return PROBABILITIES if fields["task"] == "classification" else PROBABILITY_MAPS


FILE = {"source": "file", "sha256": "0" * 64}


def tap(layer: str, **places: Any) -> dict[str, Any]:
    return {"name": f"tap_{layer.replace('.', '_')}", "role": "features", "layer": layer, **places}


def ramp(channels: int, size: int) -> Array:
    """(1, channels, size, size) float32 from 0 to 255, row by row."""
    values = np.linspace(0, 255, channels * size * size, dtype=np.float32)
    return values.reshape(1, channels, size, size)
