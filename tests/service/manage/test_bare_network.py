"""Tests of bare networks: parsing of options, and outputs that depend on the batch."""

import numpy as np
import pytest
from onnx import helper

from models.errors import PackageError
from service.manage.bare_network import batch_independent_output, parse_numbers, parse_size
from tests import package_parts


@pytest.mark.parametrize(("text", "size"), [("", None), ("224x224", (224, 224)), ("96x128", (96, 128))])
def test_sizes(text: str, size: tuple[int, int] | None) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["224", "224x", "x224", "0x8", "-8x8", "8x8x8", "a"])
def test_invalid_sizes_are_rejected(text: str) -> None:
    with pytest.raises(PackageError, match="must look like 224x224"):
        parse_size(text)


def test_numbers_are_one_per_channel() -> None:
    assert parse_numbers("", 3) == ()
    assert parse_numbers("0.5,0.25,1", 3) == (0.5, 0.25, 1.0)
    with pytest.raises(PackageError, match="has 1 numbers; the network has 3 channels"):
        parse_numbers("0.5", 3)
    with pytest.raises(PackageError, match="comma-separated"):
        parse_numbers("a,b,c", 3)


def network(*, is_batch_dependent: bool) -> bytes:
    """Builds a network that subtracts each image's mean, or the mean image of the batch."""
    axes = [0] if is_batch_dependent else [1, 2, 3]
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=axes),
        helper.make_node("Sub", ["x", "mean"], ["probabilities"]),
    ]
    shape = ("N", 1, 4, 4)
    return package_parts.graph(nodes, constants={}, inputs=shape, outputs={"probabilities": shape})


def test_an_output_that_depends_on_the_batch_is_rejected() -> None:
    tensor = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    output = batch_independent_output(network(is_batch_dependent=False), tensor)
    assert output[0] == pytest.approx(tensor - tensor.mean())
    with pytest.raises(PackageError, match="depends on the composition of the batch"):
        batch_independent_output(network(is_batch_dependent=True), tensor)
