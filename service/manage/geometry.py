"""What an ONNX segmenter's layers fix: its stride, receptive field and the sizes it takes. Computed, never guessed.

Each row of a feature map depends on a range of the image's rows; the ranges are followed from layer to layer.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx
from onnx import numpy_helper

from models.errors import PackageError
from models.image import Array

_FAR = 2048  # px, more than any receptive field
_LARGEST_STEP = 512
_POINTWISE = frozenset(
    {
        "Abs", "Add", "BatchNormalization", "Cast", "Ceil", "Clip", "Concat", "Div", "Dropout", "Elu", "Erf", "Exp",
        "Floor", "Gelu", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Log", "LogSoftmax", "Max", "Min", "Mish",
        "Mul", "Neg", "PRelu", "Pow", "Reciprocal", "Relu", "Selu", "Sigmoid", "Sign", "Softmax", "Softplus",
        "Softsign", "Sqrt", "Sub", "Sum", "Tanh", "Where",
    }
)  # fmt: skip
_ALONG_CHANNELS = frozenset({"Concat", "LogSoftmax", "Softmax"})


@dataclass(frozen=True, slots=True)
class Geometry:
    """All in px, as training.network_geometry has them. The sizes that the network takes are min_size + k * step."""

    stride: int
    receptive_field: int
    halo: int
    border: int
    min_size: int
    step: int


class NotLocal(PackageError):
    """An output's pixel depends on more than pixels around it, or on what we cannot follow."""


class _Unfit(Exception):
    """The network does not take images of this size."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Of each row of a feature map: the first and the last row of the image on which it depends."""

    first: Array
    last: Array

    def __len__(self) -> int:
        return len(self.first)


def of_segmenter(model: onnx.ModelProto) -> Geometry:
    """Of x (N, C, H, W) -> (N, K, H - 2 border, W - 2 border). Raises NotLocal, naming the layer."""
    along = [_along(model, axis) for axis in (2, 3)]
    if along[0] != along[1]:
        raise NotLocal("The network treats rows and columns in different ways.")
    return along[0]


def _along(model: onnx.ModelProto, axis: int) -> Geometry:
    probe = partial(_depends, model, axis)
    fitting = _fitting(probe)
    min_size = next(fitting)
    step = next(fitting) - min_size
    height = min_size + -(-_FAR // step) * step
    block, rows = height // 2 // step * step, probe(height)
    border = (height - len(rows)) // 2
    first, last = rows.first[block : block + step], rows.last[block : block + step]
    if first.min() == 0 or last.max() == height - 1:
        raise NotLocal(f"An output's pixel depends on more than {_FAR // 2} pixels to a side.")
    reach = max(block - int(first.min()), int(last.max()) - (block + step - 1))
    halo = 0 if border else -(-reach // step) * step
    return Geometry(step, int((last - first).max()) + 1, halo, border, min_size, step)


def _fitting(probe: Callable[[int], Rows]) -> Iterator[int]:
    """The sizes at which no strided layer leaves a row over."""
    for size in itertools.count(1):
        if size > 2 * _LARGEST_STEP:
            raise NotLocal(f"No two sizes up to {size} px suit the network's strides.")
        try:
            probe(size)
        except _Unfit:
            continue
        yield size


def _depends(model: onnx.ModelProto, axis: int, size: int) -> Rows:
    graph = model.graph
    constants = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    known = {graph.input[0].name: Rows(np.arange(size), np.arange(size))}
    for node in graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        elif any(name in known for name in node.input):
            known[node.output[0]] = _through(node, known, constants, axis)
        elif not all(name in constants or not name for name in node.input):
            raise NotLocal(f"The layer {_called(node)} works on what is computed from the image's shape.")
    return known[graph.output[0].name]


def _through(node: onnx.NodeProto, known: Mapping[str, Rows], constants: Mapping[str, Array], axis: int) -> Rows:
    """One layer. Raises NotLocal, _Unfit."""
    if unknown := [name for name in node.input if name and name not in known and name not in constants]:
        raise NotLocal(f"The layer {_called(node)} takes {unknown[0]!r}, which is not followed.")
    rows = [known[name] for name in node.input if name in known]
    options = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    if node.op_type in _POINTWISE:
        if node.op_type in _ALONG_CHANNELS and options.get("axis", -1) != 1:
            raise NotLocal(f"The layer {_called(node)} works along another axis than the channels.")
        return _union(rows)
    match node.op_type:
        case "Conv" | "ConvTranspose" | "MaxPool" | "AveragePool":
            return _window(node, rows[0], options, constants, axis)
        case "Resize":
            return _enlarged(node, rows[0], options, constants, axis)
    raise NotLocal(f"The layer {_called(node)} is not one that sees only pixels around it, as far as is known here.")


def _union(rows: list[Rows]) -> Rows:
    if len({len(each) for each in rows}) > 1:
        raise _Unfit
    return Rows(np.min([each.first for each in rows], 0), np.max([each.last for each in rows], 0))


def _window(
    node: onnx.NodeProto, rows: Rows, options: Mapping[str, object], constants: Mapping[str, Array], axis: int
) -> Rows:
    """A convolution or a pooling, forwards or transposed."""
    if options.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID") or options.get("ceil_mode"):
        raise NotLocal(f"The layer {_called(node)} pads by the image's size.")
    kernel = _option(options, "kernel_shape", axis) or constants[node.input[1]].shape[axis]
    stride, dilation = _option(options, "strides", axis) or 1, _option(options, "dilations", axis) or 1
    before, after = _option(options, "pads", axis), _option(options, "pads", axis + 2)
    taps = np.arange(kernel) * dilation
    if node.op_type == "ConvTranspose":
        length = (len(rows) - 1) * stride + taps[-1] + 1 - before - after + _option(options, "output_padding", axis)
        position = np.arange(length)[:, None] + before - taps  # (outputs, taps), times the stride
        return _gather(rows, np.where(position % stride == 0, position // stride, -1))
    if len(rows) % stride:
        raise _Unfit
    length = (len(rows) + before + after - taps[-1] - 1) // stride + 1
    return _gather(rows, np.arange(length)[:, None] * stride - before + taps)


def _enlarged(
    node: onnx.NodeProto, rows: Rows, options: Mapping[str, object], constants: Mapping[str, Array], axis: int
) -> Rows:
    """Resize by a whole factor, nearest or bilinear: between two rows at most."""
    scales = constants.get(node.input[2]) if len(node.input) > 2 else None
    mode, where = options.get("mode", b"nearest"), options.get("coordinate_transformation_mode", b"half_pixel")
    if scales is None or len(scales) != 4 or mode not in (b"nearest", b"linear") or scales[axis] % 1:
        raise NotLocal(f"The layer {_called(node)} does not enlarge by a whole factor, nearest or bilinear.")
    outputs, factor = np.arange(len(rows) * int(scales[axis])), float(scales[axis])
    if where in (b"half_pixel", b"pytorch_half_pixel"):
        position = (outputs + 0.5) / factor - 0.5
    elif where == b"asymmetric":
        position = outputs / factor
    else:
        raise NotLocal(f"The layer {_called(node)} places pixels by the image's size.")
    return _gather(rows, np.stack([np.floor(position), np.ceil(position)], axis=1).astype(int))


def _gather(rows: Rows, sources: Array) -> Rows:
    """sources (outputs, taps): the rows on which each output depends; those outside are padding."""
    inside = (sources >= 0) & (sources < len(rows))
    if not len(sources) or not inside.any(axis=1).all():
        raise _Unfit
    at = sources.clip(0, len(rows) - 1)
    most = np.iinfo(np.int64).max
    return Rows(np.where(inside, rows.first[at], most).min(axis=1), np.where(inside, rows.last[at], -1).max(axis=1))


def _option(options: Mapping[str, object], name: str, axis: int) -> int:
    """A layer's option along the image's axis 2 or 3, or 4 and 5 for what is after; 0 where it is not given."""
    values = options.get(name)
    return int(values[axis - 2]) if isinstance(values, list) else 0


def _called(node: onnx.NodeProto) -> str:
    return f"{node.name or node.output[0]!r} ({node.op_type})"
