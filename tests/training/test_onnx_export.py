"""Tests of the ONNX export: what a graph of half precision computes in, how near it stays, what is refused."""

import math
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto

from models.architectures.resnet import ResNet18
from models.architectures.unet import UNet
from models.image import Array
from training.build import Exported, Normalised
from training.config import InputConfig
from training.onnx_export import TOLERANCE, ExportError, in_precision, prove, run, to_onnx

SIZED = InputConfig(channels=1, size=(32, 32), steps=({"id": "ensure_dtype"},), mean=(20_000.0,), std=(9_000.0,))
FREE = SIZED.model_copy(update={"size": None})


def classifier(**options: Any) -> Exported:
    body = ResNet18(1, 3, width=4, stem="small", **options)
    for module in body.modules():
        if isinstance(
            module, torch.nn.BatchNorm2d
        ):  # else the last one of a new block is 0, and the block does nothing
            torch.nn.init.uniform_(module.weight, 0.5, 1.0)
    return Exported(Normalised(body, SIZED), activation="softmax", temperature=1.5).eval()


def segmenter() -> Exported:
    return Exported(Normalised(UNet(1, 2, depth=1, base_width=4), FREE), activation="sigmoid", temperature=1.0).eval()


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def images(count: int = 3) -> list[Array]:
    """12-bit and 16-bit intensities: beyond half precision's 65,504 too."""
    rng = np.random.default_rng(0)
    return [rng.uniform(0, 90_000, (1, 1, 32, 32)).astype(np.float32) for _ in range(count)]


def types(weights: bytes) -> dict[str, int]:
    """The element type of each tensor that a node of the graph gives, by the node's operation; the last of each."""
    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(weights))
    known = {value.name: value.type.tensor_type.elem_type for value in (*model.graph.value_info, *model.graph.output)}
    return {node.op_type: known[node.output[0]] for node in model.graph.node if node.output[0] in known}


@pytest.mark.parametrize(("make", "step"), [(classifier, None), (segmenter, 2)])
def test_the_body_computes_in_half_and_the_rest_in_float32(make: Any, step: int | None) -> None:
    weights = to_onnx(in_precision(make(), "half"), images()[0], step=step)
    graph = onnx.load_from_string(weights).graph
    assert {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)} == {TensorProto.FLOAT}
    found = types(weights)
    assert {found[name] for name in ("Conv", "Relu")} == {TensorProto.FLOAT16}
    assert {found[name] for name in {"Sub", "ReduceMean", "Softmax", "Sigmoid"} & set(found)} == {TensorProto.FLOAT}


@pytest.mark.parametrize(("make", "step"), [(classifier, None), (segmenter, 2)])
def test_half_stays_within_its_tolerance_and_not_within_float32s(make: Any, step: int | None) -> None:
    network = make()
    weights = to_onnx(in_precision(network, "half"), images()[0], step=step)
    allowed = prove(network, weights, images(), tolerance=TOLERANCE["half"])
    assert allowed["probabilities"] == TOLERANCE["half"]
    with pytest.raises(ExportError, match=r"(probabilities|cam) differs by .* at most"):
        prove(network, weights, images(), tolerance=1e-6)
    assert next(network.parameters()).dtype == torch.float32  # the copy alone was halved


def test_bias_is_in_the_graph() -> None:
    """Of two classes alone, a bias of log 3 triples the odds of the first."""
    body = Normalised(UNet(1, 2, depth=1, base_width=4), FREE)
    x = images()[0]
    plain, biased = (
        run(to_onnx(Exported(body, activation="softmax", temperature=1.5, bias=bias).eval(), x, step=2), x)
        for bias in ((), (math.log(3), 0.0))
    )
    odds = [p["probabilities"][:, 0] / p["probabilities"][:, 1] for p in (plain, biased)]
    np.testing.assert_allclose(odds[1], 3 * odds[0], rtol=1e-3)


def test_the_tolerance_of_large_outputs_is_a_share_of_them() -> None:
    network = classifier()
    network.network.body.fc.weight.data *= 100
    allowed = prove(network, to_onnx(network, images()[0], step=None), images())
    largest = max(np.abs(run(to_onnx(network, images()[0], step=None), x)["cam"]).max() for x in images())
    assert largest > 10
    assert allowed == pytest.approx({"probabilities": 1e-4, "cam": 1e-4 * largest}, rel=1e-3)


def test_another_class_on_top_is_refused_however_near() -> None:
    network = classifier()
    network.network.body.fc.weight.data[:] = 0
    bias = network.network.body.fc.bias.data
    bias[:] = torch.tensor([0.0, 1e-3, 0.0])
    weights = to_onnx(network, images()[0], step=None)
    prove(network, weights, images())
    bias[:] = torch.tensor([1e-3, 0.0, 0.0])
    with pytest.raises(ExportError, match="most probable class"):
        prove(network, weights, images(), tolerance=TOLERANCE["half"])
