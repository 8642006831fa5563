"""Foreign ONNX networks as the service runs them: one input, one output `probabilities`, any number of images."""

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
class Shapes:
    """What a graph says of itself; None is any length. ends_in: the activation that it has already, if any."""

    input: tuple[int | None, ...]  # N, C, H, W
    output: tuple[int | None, ...]  # N, K or N, K, H, W
    opset: int
    ends_in: Activation | None


def load(data: bytes) -> onnx.ModelProto:
    """Raises PackageError: not ONNX, data in other files, operations of others, several inputs or outputs."""
    try:
        model = onnx.load_model_from_string(data)
        if any(tensor.data_location == TensorProto.EXTERNAL for tensor in _tensors(model)):  # the checker would look
            raise PackageError("Its weights lie in other files; save it with all its data in one file.")
        onnx.checker.check_model(model)
    except (DecodeError, onnx.checker.ValidationError) as error:
        raise PackageError(f"It is no valid ONNX network: {error!s:.200}.") from error
    foreign = sorted({opset.domain for opset in model.opset_import} - set(_DOMAINS))
    if foreign or model.functions:
        raise PackageError(f"It needs operations that ONNX itself has not ({', '.join(foreign) or 'functions'}).")
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [each.name for each in model.graph.input if each.name not in constants]
    if len(inputs) != 1 or len(model.graph.output) != 1:
        outputs = [each.name for each in model.graph.output]
        raise PackageError(f"It must have one input and one output; it has {inputs} and {outputs}.")
    return model


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    yield from model.graph.initializer
    for node in model.graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)


def shapes(model: onnx.ModelProto) -> Shapes:
    """Raises PackageError where the network does not take (N, C, H, W) float32."""
    graph = model.graph
    given, answer = graph.input[0], graph.output[0]
    if given.type.tensor_type.elem_type != TensorProto.FLOAT:
        raise PackageError(f"Its input {given.name!r} is not float32.")
    sizes = _lengths(given)
    if len(sizes) != 4 or sizes[1] not in (1, 3):
        raise PackageError(f"Its input is {_said(sizes)}; it must be (N, C, H, W) with 1 or 3 channels.")
    opset = next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
    if opset < _MIN_OPSET:
        raise PackageError(
            f"It is of opset {opset}; at least {_MIN_OPSET} is needed. onnx.version_converter can raise it."
        )
    last = next((node for node in graph.node if answer.name in node.output), None)
    ends_in: Any = _OPS.get(last.op_type) if last else None
    return Shapes(sizes, _lengths(answer), opset, ends_in)


def adapted(
    model: onnx.ModelProto,
    *,
    activation: Activation | None,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    any_size: bool,
) -> bytes:
    """The network for any batch size, with `activation` after it, and (x - mean) / std of each channel before it.

    any_size: its height and width are free too.
    """
    adapted = onnx.ModelProto()
    adapted.CopyFrom(model)
    graph = adapted.graph
    del graph.value_info[:]  # they hold the old batch size
    _free_batch(graph)
    _rename(graph, OUTPUT, f"{OUTPUT}_before")
    answer = graph.output[0].name
    graph.node.append(_last(answer, activation))
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
    """Reshapes to the fixed batch size, as exporters write a flattening, keep the batch that comes."""
    fixed = _lengths(graph.input[0])[0]
    constants = {each.name: each for each in graph.initializer}
    constants |= {node.output[0]: node.attribute[0].t for node in graph.node if node.op_type == "Constant"}
    of_images = {graph.input[0].name}
    for node in graph.node:
        if of_images.isdisjoint(node.input):
            continue
        of_images.update(node.output)
        if node.op_type != "Reshape" or node.input[1] not in constants:
            continue
        shape = numpy_helper.to_array(constants[node.input[1]]).copy()
        if fixed and len(shape) and shape[0] == fixed and 0 not in shape:
            shape[0] = 0  # as it comes
            node.input[1] = f"{node.output[0]}_of_any_batch"
            graph.initializer.append(numpy_helper.from_array(shape, node.input[1]))
            del node.attribute[:]  # allowzero, by which 0 would be no rows


def _last(answer: str, activation: Activation | None) -> onnx.NodeProto:
    if activation is None:
        return helper.make_node("Identity", [answer], [OUTPUT])
    if activation == "softmax":
        return helper.make_node("Softmax", [answer], [OUTPUT], axis=1)
    return helper.make_node("Sigmoid", [answer], [OUTPUT])


def _normalise(graph: onnx.GraphProto, mean: Sequence[float], std: Sequence[float]) -> None:
    given = graph.input[0].name
    for node in graph.node:
        node.input[:] = ["normalised" if name == given else name for name in node.input]
    for name, values in (("mean", mean), ("std", std)):
        graph.initializer.append(
            numpy_helper.from_array(np.asarray(values, np.float32).reshape(1, -1, 1, 1), f"normalised_{name}")
        )
    graph.node.insert(0, helper.make_node("Div", ["centred", "normalised_std"], ["normalised"]))
    graph.node.insert(0, helper.make_node("Sub", [given, "normalised_mean"], ["centred"]))


def _rename(graph: onnx.GraphProto, name: str, other: str) -> None:
    for node in graph.node:
        node.input[:] = [other if each == name else each for each in node.input]
        node.output[:] = [other if each == name else each for each in node.output]
    for value in graph.output:
        value.name = other if value.name == name else value.name


def _lengths(value: onnx.ValueInfoProto) -> tuple[int | None, ...]:
    sizes = value.type.tensor_type.shape.dim
    return tuple(size.dim_value if size.HasField("dim_value") and size.dim_value > 0 else None for size in sizes)


def _said(sizes: Sequence[int | None]) -> str:
    return f"({', '.join('?' if size is None else str(size) for size in sizes)})"
