"""Tests of what is read of ONNX files: the same as the `onnx` package reads, and refusals of what is none."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from models import onnx_file
from models.errors import PackageError
from models.onnx_file import read_graph
from tests.package_parts import graph

NETWORK = graph(
    [
        helper.make_node("Constant", [], ["two"], value=numpy_helper.from_array(np.array([2, -3]))),
        helper.make_node("Conv", ["x", "weight"], ["features"], kernel_shape=[1, 1], name="first"),
        helper.make_node("Clip", ["features", "", "most"], ["probabilities"]),
        helper.make_node("Cast", ["two"], ["number"], to=TensorProto.FLOAT),
    ],
    constants={"weight": np.ones((1, 1, 1, 1), np.float32), "most": np.array(1, np.float32)},
    inputs=("N", 1, "H", "W"),
    outputs={"probabilities": ("N", 1, "H", "W")},
)


def test_it_is_what_the_onnx_package_reads() -> None:
    read, expected = read_graph(NETWORK), onnx.load_model_from_string(NETWORK).graph
    assert read.inputs == [each.name for each in expected.input] == ["x"]
    assert [(each.operator, each.domain, each.inputs, each.outputs) for each in read.nodes] == [
        (node.op_type, node.domain, list(node.input), list(node.output)) for node in expected.node
    ]
    assert [(each.name, each.type, bytes(each.data)) for each in read.constants] == [
        (tensor.name, tensor.data_type, tensor.raw_data) for tensor in expected.initializer
    ]
    value, to = read.nodes[0].attributes[0], read.nodes[3].attributes[0]
    assert (value.name, np.frombuffer(value.tensor.data, "<i8").tolist()) == ("value", [2, -3])
    assert (to.name, to.integer, to.has_graph) == ("to", TensorProto.FLOAT, False)


def test_a_negative_attribute() -> None:
    model = onnx.load_model_from_string(NETWORK)
    model.graph.node[3].attribute[0].i = -5
    assert read_graph(model.SerializeToString()).nodes[3].attributes[0].integer == -5


def test_parts_of_a_graph_are_joined_as_protobuf_joins_them() -> None:
    assert len(read_graph(2 * NETWORK).nodes) == len(onnx.load_model_from_string(2 * NETWORK).graph.node) == 8


def test_graphs_and_functions_are_told() -> None:
    model = onnx.load_model_from_string(NETWORK)
    assert not read_graph(NETWORK).has_functions
    model.functions.append(helper.make_function("own", "F", ["x"], ["y"], [], []))
    model.graph.node[0].attribute.append(helper.make_attribute("body", model.graph))
    read = read_graph(model.SerializeToString())
    assert read.has_functions
    assert read.nodes[0].attributes[1].has_graph


@pytest.mark.parametrize("end", range(1, len(NETWORK), 3))
def test_a_file_that_is_cut_short(end: int) -> None:
    """A cut between two fields leaves a valid file, as protobuf has no end of its own."""
    try:
        onnx.load_model_from_string(NETWORK[:end])
    except Exception:  # noqa: BLE001  protobuf's own
        with pytest.raises(PackageError, match="no valid ONNX file"):
            read_graph(NETWORK[:end])
    else:
        read_graph(NETWORK[:end])


def test_random_bytes_are_read_or_refused() -> None:
    chance = np.random.default_rng(0)
    for _ in range(2000):
        damaged = bytearray(NETWORK)
        for at in chance.integers(0, len(damaged), 4):
            damaged[at] = chance.integers(256)
        try:
            read_graph(bytes(damaged))
        except PackageError:
            continue


def test_a_file_of_too_many_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file, "MAX_FIELDS", 20)
    with pytest.raises(PackageError, match="more than 20 fields"):
        read_graph(NETWORK)
