"""Graph adapter: turns a foreign ONNX network into one with the output `probabilities` and a dynamic batch axis."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import TensorProto, helper, numpy_helper

from models.errors import PackageError
from models.outputs import graph_name

Activation = Literal["softmax", "sigmoid"]
OUTPUT = graph_name("probabilities")
_OPS = {"Softmax": "softmax", "Sigmoid": "sigmoid"}
_DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
_MIN_OPSET = 11


@dataclass(frozen=True, slots=True)
class GraphInfo:
    """The shapes and opset of a graph; None is any length. activation: the one at its end, if any."""

    input: tuple[int | None, ...]  # N, C, H, W
    output: tuple[int | None, ...]  # N, K or N, K, H, W
    opset: int
    activation: Activation | None


def load(data: bytes) -> onnx.ModelProto:
    """Parses a network. Raises PackageError for external data, custom operators, or several inputs or outputs."""
    try:
        model = onnx.load_model_from_string(data)
        if any(
            tensor.data_location == TensorProto.EXTERNAL for tensor in _tensors(model)
        ):  # the checker would read them
            raise PackageError("The weights are in external files; save the network in a single file.")
        onnx.checker.check_model(model)
    except (DecodeError, onnx.checker.ValidationError) as error:
        raise PackageError(f"This is not a valid ONNX network: {error!s:.200}.") from error
    foreign = sorted({opset.domain for opset in model.opset_import} - set(_DOMAINS))
    if foreign or model.functions:
        raise PackageError(
            f"The network needs custom operators ({', '.join(foreign) or 'functions'}), which are not supported."
        )
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [each.name for each in model.graph.input if each.name not in constants]
    if len(inputs) != 1 or len(model.graph.output) != 1:
        outputs = [each.name for each in model.graph.output]
        raise PackageError(f"The network must have one input and one output; it has {inputs} and {outputs}.")
    return model


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    yield from model.graph.initializer
    for node in model.graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)


def inspect(model: onnx.ModelProto) -> GraphInfo:
    """Reads the shapes and opset. Raises PackageError if the input is not (N, C, H, W) float32."""
    graph = model.graph
    source, output = graph.input[0], graph.output[0]
    if source.type.tensor_type.elem_type != TensorProto.FLOAT:
        raise PackageError(f"The input {source.name!r} is not float32.")
    sizes = _lengths(source)
    if len(sizes) != 4 or sizes[1] not in (1, 3):
        raise PackageError(f"The input is {_shape_text(sizes)}; it must be (N, C, H, W) with 1 or 3 channels.")
    opset = next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
    if opset < _MIN_OPSET:
        raise PackageError(
            f"The network has opset {opset}; at least {_MIN_OPSET} is required. onnx.version_converter can convert it."
        )
    last = next((node for node in graph.node if output.name in node.output), None)
    last_activation: Any = _OPS.get(last.op_type) if last else None
    return GraphInfo(sizes, _lengths(output), opset, last_activation)


def adapt(
    model: onnx.ModelProto,
    *,
    activation: Activation | None,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    any_size: bool,
) -> bytes:
    """Returns the network with a dynamic batch axis, `activation` at its end, and (x - mean) / std per channel.

    any_size: makes height and width dynamic too.
    """
    adapted = onnx.ModelProto()
    adapted.CopyFrom(model)
    graph = adapted.graph
    del graph.value_info[:]  # they hold the old batch size
    _free_batch(graph)
    _rename(graph, OUTPUT, f"{OUTPUT}_before")
    logits = graph.output[0].name
    graph.node.append(_activation_node(logits, activation))
    graph.output[0].name = OUTPUT
    if mean:
        _normalise(graph, mean, std)
    for value in (graph.input[0], graph.output[0]):
        sizes = value.type.tensor_type.shape.dim
        sizes[0].dim_param = "N"
        for n, name in enumerate(("H", "W"), start=2):
            if any_size and len(sizes) == 4:
                sizes[n].dim_param = name if value is graph.input[0] else f"{name}_out"
    onnx.checker.check_model(adapted)
    return bytes(adapted.SerializeToString())


def _free_batch(graph: onnx.GraphProto) -> None:
    """Makes reshapes to a fixed batch size, as exporters write a flattening, keep the actual batch size."""
    fixed = _lengths(graph.input[0])[0]
    constants = {each.name: each for each in graph.initializer}
    constants |= {node.output[0]: node.attribute[0].t for node in graph.node if node.op_type == "Constant"}
    image_values = {graph.input[0].name}
    for node in graph.node:
        if image_values.isdisjoint(node.input):
            continue
        image_values.update(node.output)
        if node.op_type != "Reshape" or node.input[1] not in constants:
            continue
        shape = numpy_helper.to_array(constants[node.input[1]]).copy()
        if fixed and len(shape) and shape[0] == fixed and 0 not in shape:
            shape[0] = 0  # keeps the batch size
            node.input[1] = f"{node.output[0]}_of_any_batch"
            graph.initializer.append(numpy_helper.from_array(shape, node.input[1]))
            del node.attribute[:]  # allowzero would make 0 mean no rows


def _activation_node(logits: str, activation: Activation | None) -> onnx.NodeProto:
    if activation is None:
        return helper.make_node("Identity", [logits], [OUTPUT])
    if activation == "softmax":
        return helper.make_node("Softmax", [logits], [OUTPUT], axis=1)
    return helper.make_node("Sigmoid", [logits], [OUTPUT])


def _normalise(graph: onnx.GraphProto, mean: Sequence[float], std: Sequence[float]) -> None:
    source = graph.input[0].name
    for node in graph.node:
        node.input[:] = ["normalised" if name == source else name for name in node.input]
    for name, values in (("mean", mean), ("std", std)):
        graph.initializer.append(
            numpy_helper.from_array(np.asarray(values, np.float32).reshape(1, -1, 1, 1), f"normalised_{name}")
        )
    graph.node.insert(0, helper.make_node("Div", ["centred", "normalised_std"], ["normalised"]))
    graph.node.insert(0, helper.make_node("Sub", [source, "normalised_mean"], ["centred"]))


def _rename(graph: onnx.GraphProto, name: str, other: str) -> None:
    for node in graph.node:
        node.input[:] = [other if each == name else each for each in node.input]
        node.output[:] = [other if each == name else each for each in node.output]
    for value in graph.output:
        value.name = other if value.name == name else value.name


def _lengths(value: onnx.ValueInfoProto) -> tuple[int | None, ...]:
    sizes = value.type.tensor_type.shape.dim
    return tuple(size.dim_value if size.HasField("dim_value") and size.dim_value > 0 else None for size in sizes)


def _shape_text(sizes: Sequence[int | None]) -> str:
    return f"({', '.join('?' if size is None else str(size) for size in sizes)})"
