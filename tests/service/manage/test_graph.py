"""Graph adapter: facts and refusals of foreign networks, and the answers of adapted ones."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from models import package
from models.errors import PackageError
from models.image import Array
from service.manage import graph
from service.manage.graph import Activation, GraphInfo
from tests import package_parts
from tests.service.manage import foreign
from tests.service.manage.import_command import BARE, run_import


def adapted_segmenter(*, any_size: bool) -> bytes:
    return graph.adapt(graph.load(foreign.segmenter()), activation="sigmoid", any_size=any_size)


@pytest.mark.parametrize("shape", [(1, foreign.SIDE**2), (1, -1)])
def test_a_batch_size_fixed_by_a_reshape_becomes_dynamic(models: Path, tmp_path: Path, shape: tuple[int, int]) -> None:
    source = tmp_path / "network.onnx"
    source.write_bytes(foreign.flattened(*shape))
    assert run_import(source, *BARE, "--classes", "a,b") == 0
    made = package.read(models / "bare-one/1.0")
    images = np.random.default_rng(5).random((3, 1, foreign.SIDE, foreign.SIDE)).astype(np.float32)
    batch = package_parts.run(made.weights.read_bytes(), images, ("probabilities",))["probabilities"]
    single = [package_parts.run(source.read_bytes(), image[None], ("y",))["y"][0] for image in images]
    assert batch == pytest.approx(np.array(single), abs=1e-6)


def two_outputs() -> bytes:
    model = onnx.load_model_from_string(foreign.segmenter())
    model.graph.output.append(onnx.helper.make_tensor_value_info("a", onnx.TensorProto.FLOAT, (1, 2, 32, 32)))
    return model.SerializeToString()


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (lambda: b"\x80\x04K\x01.", "not a valid ONNX network"),
        (foreign.external_weights, "in external files"),
        (foreign.custom_operation, r"custom operators \(com.example\)"),
        (two_outputs, r"one input and one output; it has \['x'\] and \['y', 'a'\]"),
    ],
    ids=["not ONNX", "external weights", "custom operators", "two outputs"],
)
def test_a_network_that_cannot_be_adapted_is_refused(network: Callable[[], bytes], reason: str) -> None:
    with pytest.raises(PackageError, match=reason):
        graph.load(network())


@pytest.mark.parametrize(
    ("network", "info"),
    [
        (foreign.segmenter(), GraphInfo((1, 1, 32, 32), (1, 1, 32, 32), 17, None)),
        (foreign.classifier(), GraphInfo((1, 3, 32, 32), (1, 2), 17, None)),
        (foreign.classifier(last="Softmax", channels=1), GraphInfo((1, 1, 32, 32), (1, 2), 17, "softmax")),
        (foreign.classifier(last="Sigmoid"), GraphInfo((1, 3, 32, 32), (1, 2), 17, "sigmoid")),
        (adapted_segmenter(any_size=True), GraphInfo((None, 1, None, None), (None, 1, None, None), 17, "sigmoid")),
    ],
    ids=["segmenter", "logits", "softmax", "sigmoid", "any size"],
)
def test_shapes_opset_and_activation_are_read(network: bytes, info: GraphInfo) -> None:
    assert graph.inspect(graph.load(network)) == info


def with_type(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8


def with_channels(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 2


def with_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 10


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (with_type, "The input 'x' is not float32"),
        (with_channels, r"The input is \(1, 2, 32, 32\); it must be \(N, C, H, W\) with 1 or 3 channels"),
        (with_opset, "has opset 10; at least 11 is required"),
    ],
)
def test_an_input_or_opset_that_is_not_supported_is_refused(
    edit: Callable[[onnx.ModelProto], None], reason: str
) -> None:
    model = graph.load(foreign.segmenter())
    edit(model)
    with pytest.raises(PackageError, match=reason):
        graph.inspect(model)


def softmax(logits: Array) -> Array:
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("activation", "formula"),
    [(None, lambda y: y), ("softmax", softmax), ("sigmoid", lambda y: 1 / (1 + np.exp(-y)))],
    ids=["none", "softmax", "sigmoid"],
)
@pytest.mark.parametrize(("mean", "std"), [((), ()), ((0.5, 0.25, 0.125), (2.0, 4.0, 0.5))], ids=["raw", "normalised"])
def test_an_adapted_network_answers_its_own_formula(
    activation: Activation | None, formula: Callable[[Array], Array], mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    """activation(network((x - mean) / std)) for any number of images, of a network made for one."""
    network = foreign.classifier()
    adapted = graph.adapt(graph.load(network), activation=activation, mean=mean, std=std, any_size=False)
    images = np.random.default_rng(6).random((3, 3, foreign.SIDE, foreign.SIDE)).astype(np.float32)
    channel = np.reshape([mean or (0, 0, 0), std or (1, 1, 1)], (2, 1, 3, 1, 1))
    x = ((images - channel[0]) / channel[1]).astype(np.float32)
    logits = np.concatenate([package_parts.run(network, image[None], ("y",))["y"] for image in x])
    answer = package_parts.run(adapted, images, ("probabilities",))["probabilities"]
    assert answer == pytest.approx(formula(logits), abs=1e-5)


def test_a_segmenter_takes_another_size_only_if_it_is_asked_for() -> None:
    image = np.zeros((1, 1, 40, 48), np.float32)
    maps = package_parts.run(adapted_segmenter(any_size=True), image, ("probabilities",))["probabilities"]
    assert maps.shape == (1, 1, 40, 48)
    sizes = graph.inspect(graph.load(adapted_segmenter(any_size=False)))
    assert (sizes.input, sizes.output) == ((None, 1, 32, 32), (None, 1, 32, 32))


def test_a_network_that_has_our_names_keeps_its_answers() -> None:
    once = adapted_segmenter(any_size=False)
    twice = graph.adapt(graph.load(once), activation=None, any_size=False)
    image = np.random.default_rng(7).random((1, 1, foreign.SIDE, foreign.SIDE)).astype(np.float32)
    answers = [package_parts.run(network, image, ("probabilities",))["probabilities"] for network in (once, twice)]
    np.testing.assert_array_equal(*answers)
