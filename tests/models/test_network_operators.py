"""Tests of what a package's network may consist of: a table of small graphs. Every network of ours is one that may."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from models.errors import PackageError
from models.network_operators import OPERATORS, check_network

INT, FLOAT, STRING = TensorProto.INT64, TensorProto.FLOAT, TensorProto.STRING
SIZE = [("Shape", "x", "shape"), ("Gather", "shape last", "width")]  # of the image
CONSTANTS: dict[str, Any] = {
    "last": 3, "zero": 0, "one": 1, "two": 2, "minus_one": -1, "half": np.float32(0.5), "list": [2, 2],
    "text": np.array(["a"], object),
}  # fmt: skip
Step = tuple[Any, ...]  # operator, inputs, outputs, attributes

GOOD: dict[str, list[Step]] = {
    "floats are divided by what the pixels say": [("ReduceMax", "x", "top"), ("Div", "x top", "y")],
    "a shape of constants": [("Expand", "half list", "y")],
    "a shape from the image's size": [*SIZE, ("Unsqueeze", "width zero", "w"), ("Expand", "half w", "y")],
    "half of the image's size": [*SIZE, ("Div", "width two", "y")],
    "its remainder": [*SIZE, ("Mod", "width two", "y")],
    "a constant's node": [*SIZE, ("Constant", "", "c", {"value_int": 2}), ("Div", "width c", "y")],
    "constants among themselves": [("Div", "two zero", "y")],
    "sizes as floats": [*SIZE, ("Cast", "width", "w", {"to": FLOAT}), ("Div", "half w", "y")],
    "a look-up by pixels": [("Cast", "x", "n", {"to": INT}), ("Gather", "list n", "y")],
    "whole numbers of pixels as floats again": [
        ("Cast", "x", "n", {"to": INT}), ("Cast", "n", "f", {"to": FLOAT}), ("Div", "f x", "y"),
    ],
    "floats chosen by comparisons": [("Less", "x half", "is"), ("Where", "is x half", "w"), ("Div", "x w", "y")],
    "quantised values as floats again": [
        ("QuantizeLinear", "x half", "q"), ("DequantizeLinear", "q half", "d"), ("Div", "d x", "y"),
    ],
}  # fmt: skip
BAD: dict[str, tuple[list[Step], str]] = {
    "an operator of classical learning": ([("Scaler", "x", "y", {"domain": "ai.onnx.ml"})], "'ai.onnx.ml.Scaler'"),
    "of ONNX Runtime": ([("Gelu", "x", "y", {"domain": "com.microsoft"})], "'com.microsoft.Gelu'"),
    **{
        name: ([(name, "x", "y")], f"has the operator '{name}'")
        for name in ("Loop", "If", "Scan", "NonZero", "Unique", "Compress", "NonMaxSuppression", "RandomNormalLike",
                     "StringNormalizer", "TfIdfVectorizer", "SequenceConstruct", "Optional", "RoiAlign", "Made-up")
    },
    "a graph in an attribute": ([("Relu", "x", "y", {"body": helper.make_graph([], "b", [], [])})], "operator 'Relu'"),
    "a shape that pixels decide": (
        [("Cast", "x", "n", {"to": INT}), ("Expand", "half n", "y")], "decide a shape of the network's operator Expand",
    ),
    "by way of its own size": (
        [("Cast", "x", "n", {"to": INT}), ("ConstantOfShape", "n", "vast"), ("Size", "vast", "y")], "ConstantOfShape",
    ),
    "a range that pixels decide": ([("Cast", "x", "n", {"to": INT}), ("Range", "zero n one", "y")], "Range"),
    "scales that pixels decide": ([("Resize", "x  x", "y")], "Resize"),
    "a number of the greatest that pixels decide": ([("Cast", "x", "n", {"to": INT}), ("TopK", "x n", "y")], "TopK"),
    "axes that pixels decide": ([("Cast", "x", "n", {"to": INT}), ("ReduceSum", "x n", "y")], "ReduceSum"),
    "division by 0": ([*SIZE, ("Div", "width zero", "y")], "divides integers by no positive constant"),
    "by -1": ([*SIZE, ("Div", "width minus_one", "y")], "no positive constant"),
    "by a size": ([*SIZE, ("Div", "two width", "y")], "no positive constant"),
    "a remainder by pixels": ([("Cast", "x", "n", {"to": INT}), ("Mod", "two n", "y")], "no positive constant"),
    "by the place of the greatest": ([("ArgMax", "x", "n"), ("Div", "two n", "y")], "no positive constant"),
    "by the places of the greatest": ([("TopK", "x one", "v n"), ("Div", "two n", "y")], "no positive constant"),
    "by the place in a pool": ([("MaxPool", "x", "v n"), ("Div", "two n", "y")], "no positive constant"),
    "by one of two": (
        [("Cast", "x", "n", {"to": INT}), ("Less", "x half", "is"), ("Where", "is n two", "w"), ("Div", "two w", "y")],
        "no positive constant",
    ),
    "by what is like another": (
        [("CastLike", "x two", "n"), ("Div", "two n", "y")], "no positive constant",
    ),
    "a text": ([("Expand", "text list", "y")], "constant 'text' is text"),
    "text of numbers": ([("Cast", "x", "y", {"to": STRING})], "'Cast' makes text"),
    "a node's text": ([("Constant", "", "y", {"value_string": "a"})], "'Constant' makes text"),
    "a name that is not made": ([("Relu", "z", "y")], "uses 'z' before it is made"),
    "a name that is made later": ([("Relu", "z", "y"), ("Relu", "x", "z")], "uses 'z' before it is made"),
    "a name twice": ([("Relu", "x", "y"), ("Relu", "x", "y")], "makes 'y' twice"),
    "a name of a constant": ([("Relu", "x", "two")], "makes 'two' twice"),
}  # fmt: skip


def network(steps: list[Step]) -> bytes:
    """A graph of the steps from the image "x", with those of CONSTANTS that they name; it need not be a valid one."""
    nodes = [
        helper.make_node(operator, inputs.split(" ") if inputs else [], outputs.split(), **dict(*attributes))
        for operator, inputs, outputs, *attributes in steps
    ]
    named = {name for node in nodes for name in (*node.input, *node.output)}
    constants = [numpy_helper.from_array(np.asarray(CONSTANTS[name]), name) for name in CONSTANTS if name in named]
    image = helper.make_tensor_value_info("x", FLOAT, ("N", 1, "H", "W"))
    return helper.make_model(helper.make_graph(nodes, "steps", [image], [], constants)).SerializeToString()


@pytest.mark.parametrize("case", GOOD)
def test_what_may_be(case: str) -> None:
    check_network(network(GOOD[case]))


@pytest.mark.parametrize("case", BAD)
def test_what_may_not_be(case: str) -> None:
    steps, reason = BAD[case]
    with pytest.raises(PackageError, match=reason) as refused:
        check_network(network(steps))
    assert len(str(refused.value)) <= 300


def test_functions_and_attributes_that_come_twice() -> None:
    model = onnx.load_model_from_string(network(GOOD["a shape of constants"]))
    model.functions.append(helper.make_function("own", "F", ["x"], ["y"], [], []))
    with pytest.raises(PackageError, match="functions of its own"):
        check_network(model.SerializeToString())
    model = onnx.load_model_from_string(network([("Cast", "x", "y", {"to": FLOAT})]))
    model.graph.node[0].attribute.append(helper.make_attribute("to", INT))
    with pytest.raises(PackageError, match="has an attribute twice"):
        check_network(model.SerializeToString())


def test_the_operators_are_those_of_onnx() -> None:
    assert {schema.name for schema in onnx.defs.get_all_schemas() if not schema.domain} >= OPERATORS
