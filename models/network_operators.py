"""Operators that a package's network may have: a run then takes the same time and memory for images of one size.

A package is proved with its own test input. That tells how other images will fare only where the network does the same
for each of them: without loops and branches, without shapes that pixels decide, and without divisions of integers that
could end the process.
"""

from enum import IntEnum

import numpy as np

from models.errors import PackageError, quoted
from models.onnx_file import Graph, Node, Tensor, read_graph

# Of ONNX's own, those whose work and whose outputs' sizes follow from the sizes of their inputs, and from _SHAPES.
OPERATORS = frozenset({
    "Abs", "Acos", "Acosh", "Add", "And", "ArgMax", "ArgMin", "Asin", "Asinh", "Atan", "Atanh", "Attention",
    "AveragePool", "BatchNormalization", "Cast", "CastLike", "Ceil", "Celu", "Clip", "Concat", "Constant",
    "ConstantOfShape", "Conv", "ConvTranspose", "Cos", "Cosh", "CumSum", "DepthToSpace", "DequantizeLinear", "Div",
    "Dropout", "Einsum", "Elu", "Equal", "Erf", "Exp", "Expand", "EyeLike", "Flatten", "Floor", "GRU", "Gather",
    "GatherElements", "GatherND", "Gelu", "Gemm", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "Greater",
    "GreaterOrEqual", "GridSample", "GroupNormalization", "HardSigmoid", "HardSwish", "Hardmax", "Identity",
    "InstanceNormalization", "IsInf", "IsNaN", "LRN", "LSTM", "LayerNormalization", "LeakyRelu", "Less", "LessOrEqual",
    "Log", "LogSoftmax", "LpNormalization", "LpPool", "MatMul", "Max", "MaxPool", "Mean", "MeanVarianceNormalization",
    "Min", "Mish", "Mod", "Mul", "Neg", "Not", "OneHot", "Or", "PRelu", "Pad", "Pow", "QLinearConv", "QLinearMatMul",
    "QuantizeLinear", "RMSNormalization", "RNN", "Range", "Reciprocal", "ReduceL1", "ReduceL2", "ReduceLogSum",
    "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Relu",
    "Reshape", "Resize", "Round", "ScatterElements", "ScatterND", "Selu", "Shape", "Shrink", "Sigmoid", "Sign", "Sin",
    "Sinh", "Size", "Slice", "Softmax", "Softplus", "Softsign", "SpaceToDepth", "Split", "Sqrt", "Squeeze", "Sub",
    "Sum", "Swish", "Tan", "Tanh", "ThresholdedRelu", "Tile", "TopK", "Transpose", "Trilu", "Unsqueeze", "Upsample",
    "Where", "Xor",
})  # fmt: skip
# The places of the inputs that decide what sizes the outputs have.
_SHAPES: dict[str, tuple[int, ...]] = {
    "ConstantOfShape": (0,),
    "CumSum": (1,),
    "Expand": (1,),
    "OneHot": (1,),
    "Pad": (1, 3),
    "Range": (0, 1, 2),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Tile": (1, 2),
    "TopK": (1,),
    "Trilu": (1,),
    "Unsqueeze": (1,),
    "Upsample": (1,),
} | {name: (1,) for name in OPERATORS if name.startswith("Reduce")}
_STRING, _FLOATS = 8, {1, 10, 11, 16}  # of TensorProto.DataType
_INT64, _MAX_INTEGERS = 7, 64
_STATE_THEIR_TYPE = {"Cast", "Constant", "ConstantOfShape", "EyeLike"}
_MAKE_INTEGERS = {"ArgMax", "ArgMin", "QLinearConv", "QLinearMatMul", "QuantizeLinear", "Shape", "Size"}
_ADD_INTEGERS = {"Dropout", "MaxPool", "TopK"}  # as further outputs
_TYPED_BY = {"CastLike": 1, "OneHot": 2, "Where": 1}  # the input that has the output's type; for others the first


class Origin(IntEnum):
    """What decides the values of a tensor."""

    CONSTANT = 0
    SIZE = 1  # of the image
    PIXELS = 2


def check_network(network: bytes) -> None:
    """Raises PackageError unless an ONNX file holds only OPERATORS, and the image's pixels decide no shape in it."""
    graph = read_graph(network)
    if graph.has_functions:
        raise PackageError("The network has functions of its own; a package holds ONNX's own operators only.")
    tensors = _Tensors(graph)
    for node in graph.nodes:
        _check_operator(node)
        tensors.check_inputs(node)
        tensors.add_outputs(node)


def _check_operator(node: Node) -> None:
    name = quoted(f"{node.domain}.{node.operator}" if node.domain else node.operator)
    is_known = node.domain in ("", "ai.onnx") and node.operator in OPERATORS
    if not is_known or any(each.has_graph for each in node.attributes):
        raise PackageError(
            f"The network has the operator {name}; a package holds those of ONNX's own whose work depends on the"
            " image's size alone."
        )
    names = [each.name for each in node.attributes]
    if len(set(names)) < len(names):
        raise PackageError(f"The network's operator {name} has an attribute twice.")
    makes_text = any((each.name, each.integer) == ("to", _STRING) for each in node.attributes)
    if makes_text or {"value_string", "value_strings"}.intersection(names):
        raise PackageError(f"The network's operator {name} makes text.")


class _Tensors:
    """The tensors that there are so far: what decides the values of each, and which are integers."""

    def __init__(self, graph: Graph) -> None:
        self._origins: dict[str, Origin] = {}
        self._integers: dict[str, tuple[int, ...]] = {}  # their values; () where they are not known
        for tensor in graph.constants:
            self._add(tensor.name, Origin.CONSTANT, _integers_of(tensor))
        for name in graph.inputs:
            self._origins.setdefault(name, Origin.PIXELS)

    def check_inputs(self, node: Node) -> None:
        for name in filter(None, node.inputs):
            if name not in self._origins:
                raise PackageError(f"The network uses {quoted(name)} before it is made.")
        for place in _SHAPES.get(node.operator, ()):
            if self._origin(node.inputs[place : place + 1]) is Origin.PIXELS:
                raise PackageError(
                    f"The image's pixels decide a shape of the network's operator {node.operator}; only the image's"
                    " size may."
                )
        if node.operator in ("Div", "Mod") and not self._is_safe(node):
            raise PackageError(f"The network's operator {node.operator} divides integers by no positive constant.")

    def _is_safe(self, division: Node) -> bool:
        """Whether it cannot end the process, as integers do that are divided by 0, or the least of them by -1."""
        if self._origin(division.inputs) is Origin.CONSTANT or self._integers.keys().isdisjoint(division.inputs):
            return True
        known = self._integers.get(division.inputs[-1], ())
        return bool(known) and min(known) > 0

    def add_outputs(self, node: Node) -> None:
        origin = self._origin(node.inputs)
        if node.operator in ("Shape", "Size"):
            origin = min(origin, Origin.SIZE)
        integers = self._made_by(node)
        for place, name in enumerate(node.outputs):
            self._add(name, origin, () if place and node.operator in _ADD_INTEGERS else integers)

    def _made_by(self, node: Node) -> tuple[int, ...] | None:
        """Returns the integers that a node makes, () where their values are not known; None for other numbers."""
        if node.operator in _STATE_THEIR_TYPE:
            return _stated_by(node)
        of_type = node.inputs[_TYPED_BY.get(node.operator, 0) :][:1]
        has_integers = not self._integers.keys().isdisjoint(of_type) and node.operator != "DequantizeLinear"
        return () if has_integers or node.operator in _MAKE_INTEGERS else None

    def _origin(self, names: list[str]) -> Origin:
        return max((self._origins[name] for name in names if name), default=Origin.CONSTANT)

    def _add(self, name: str, origin: Origin, integers: tuple[int, ...] | None) -> None:
        if name in self._origins:
            raise PackageError(f"The network makes {quoted(name)} twice.")
        if name:
            self._origins[name] = origin
            if integers is not None:
                self._integers[name] = integers


def _stated_by(node: Node) -> tuple[int, ...] | None:
    """Does what _Tensors._made_by does, by the attribute in which a node states its type, or its values."""
    for each in node.attributes:
        if each.tensor:
            return _integers_of(each.tensor)
        if each.name in ("to", "dtype"):
            return None if each.integer in _FLOATS else ()
        if each.name == "value_int":
            return (each.integer,)
        if each.name == "value_ints":
            return ()
    return () if node.operator == "EyeLike" else None


def _integers_of(tensor: Tensor) -> tuple[int, ...] | None:
    """Returns a constant's integers, () where they are many or written in another way; None for other numbers.

    Raises PackageError for text.
    """
    if tensor.type == _STRING:
        raise PackageError(f"The network's constant {quoted(tensor.name)} is text.")
    if tensor.type in _FLOATS:
        return None
    if tensor.type != _INT64 or len(tensor.data) % 8 or len(tensor.data) > 8 * _MAX_INTEGERS:
        return ()
    return tuple(np.frombuffer(tensor.data, "<i8").tolist())
