"""Small networks and packages in the form that other tools export."""

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper, numpy_helper

from models.image import Array

SIDE = 32


def network(
    nodes: list[onnx.NodeProto], constants: dict[str, Array], *, channels: int, output: tuple[Any, ...]
) -> bytes:
    """Builds a network from "x" (1, channels, SIDE, SIDE), with a fixed batch size, to "y"."""
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "foreign",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, channels, SIDE, SIDE))],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)],
            [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
        ),
        ir_version=8,
        opset_imports=[helper.make_opsetid("", 17)],
    )
    onnx.checker.check_model(model)
    return model.SerializeToString()


def kernel(*shape: int) -> Array:
    return np.random.default_rng(1).normal(0, 0.2, shape).astype(np.float32)


def segmenter() -> bytes:
    """Builds a one-level U-Net with stride 2; logits of one class."""
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("MaxPool", ["a"], ["b"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["b", "w2"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("ConvTranspose", ["c", "up"], ["d"], strides=[2, 2]),
        helper.make_node("Concat", ["a", "d"], ["e"], axis=1),
        helper.make_node("Conv", ["e", "w3"], ["y"]),
    ]
    weights = {"w1": kernel(2, 1, 3, 3), "w2": kernel(2, 2, 3, 3), "up": kernel(2, 2, 2, 2), "w3": kernel(1, 4, 1, 1)}
    return network(nodes, weights, channels=1, output=(1, 1, SIDE, SIDE))


def classifier(*, last: str = "", channels: int = 3) -> bytes:
    """Builds a classifier of two classes: logits, followed by the operator `last` if given."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("ReduceMean", ["a"], ["y" if not last else "m"], axes=[2, 3], keepdims=0),
        *([helper.make_node(last, ["m"], ["y"])] if last else []),
    ]
    return network(nodes, {"w": kernel(2, channels, 3, 3)}, channels=channels, output=(1, 2))


def whole_image() -> bytes:
    """Builds a segmenter in which each pixel depends on the whole image."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["m"]),
        helper.make_node("Sub", ["x", "m"], ["a"]),
        helper.make_node("Sigmoid", ["a"], ["y"]),
    ]
    return network(nodes, {}, channels=1, output=(1, 1, SIDE, SIDE))


def flattened(*shape: int) -> bytes:
    """Builds a classifier with a reshape to `shape`, as torch's exporter writes a flattening."""
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["flat"], allowzero=1),
        helper.make_node("MatMul", ["flat", "w"], ["a"]),
        helper.make_node("Reshape", ["a", "two"], ["b"], allowzero=1),
        helper.make_node("Softmax", ["b"], ["y"], axis=1),
    ]
    weights = {"shape": np.array(shape, np.int64), "two": np.array([1, 2], np.int64), "w": kernel(SIDE * SIDE, 2)}
    return network(nodes, weights, channels=1, output=(1, 2))


def answer_of(weights: bytes, image: Array) -> Array:
    """Computes sigmoid(network(zero mean, unit variance)) of an image (1, C, H, W)."""
    import onnxruntime

    x = (image - image.mean((2, 3), keepdims=True)) / (image.std((2, 3), keepdims=True) + 1e-6)
    session = onnxruntime.InferenceSession(weights, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"x": x.astype(np.float32)})
    return (1 / (1 + np.exp(-logits))).astype(np.float32)


def bioimageio(folder: Path, *, form: str, network_file: bytes = b"", **changes: Any) -> Path:
    """Writes a package of format "0.4.10" or "0.5.3": zero-mean unit-variance, a segmenter, and a sigmoid."""
    folder.mkdir(parents=True)
    image = np.random.default_rng(2).integers(0, 4000, (1, 1, SIDE, SIDE)).astype(np.float32)
    network_file = network_file or segmenter()
    (folder / "weights.onnx").write_bytes(network_file)
    np.save(folder / "in.npy", image)
    np.save(folder / "out.npy", answer_of(segmenter(), image))
    document = _v4() if form.startswith("0.4") else _v5(folder)
    digest = hashlib.sha256(network_file).hexdigest()
    known = {
        "format_version": form,
        "type": "model",
        "name": "Foreign Nuclei",
        "description": "Made for a test.",
        "license": "MIT",
        "authors": [{"name": "A. Person"}],
        "cite": [{"text": "Nobody 2026", "doi": "10.1234/5678"}],
        "weights": {"onnx": {"source": "weights.onnx", "sha256": digest}},
    }
    (folder / "rdf.yaml").write_text(yaml.safe_dump(known | document | changes))
    return folder


def _v4() -> dict[str, Any]:
    kwargs = {"mode": "per_sample", "axes": "xy"}
    return {
        "inputs": [
            {
                "name": "raw", "axes": "bcyx", "data_type": "float32",
                "shape": {"min": [1, 1, 32, 32], "step": [0, 0, 2, 2]},
                "preprocessing": [{"name": "zero_mean_unit_variance", "kwargs": kwargs}],
            }
        ],
        "outputs": [{"name": "p", "axes": "bcyx", "data_type": "float32", "postprocessing": [{"name": "sigmoid"}]}],
        "test_inputs": ["in.npy"],
        "test_outputs": ["out.npy"],
    }  # fmt: skip


def _v5(folder: Path) -> dict[str, Any]:
    def tensor(name: str) -> dict[str, str]:
        return {"source": name, "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest()}

    space = [{"type": "space", "id": axis, "size": SIDE} for axis in "yx"]
    step = {"id": "zero_mean_unit_variance", "kwargs": {"axes": ["x", "y"]}}
    return {
        "version": "0.3.0",
        "inputs": [
            {
                "id": "raw", "axes": [{"type": "batch"}, {"type": "channel", "channel_names": ["grey"]}, *space],
                "preprocessing": [{"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}, step],
                "test_tensor": tensor("in.npy"),
            }
        ],
        "outputs": [
            {
                "id": "p", "axes": [{"type": "batch"}, {"type": "channel", "channel_names": ["nucleus"]}, *space],
                "postprocessing": [{"id": "sigmoid"}], "test_tensor": tensor("out.npy"),
            }
        ],
    }  # fmt: skip


def zipped(folder: Path) -> Path:
    target = folder.with_suffix(".zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
    return target


def external_weights() -> bytes:
    """Returns a network whose weights refer to a file of the machine."""
    model = onnx.load_model_from_string(segmenter())
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    return model.SerializeToString()


def custom_operation() -> bytes:
    """Returns a network that imports operators of another domain."""
    model = onnx.load_model_from_string(segmenter())
    model.opset_import.add(domain="com.example", version=1)
    return model.SerializeToString()
