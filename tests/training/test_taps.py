"""Tests of taps: what chosen layers give, and layers that give nothing."""

import pytest
import torch
from torch import nn

from models.architectures.lenet import LeNet5
from training.build import Exported, Normalised
from training.config import InputConfig
from training.taps import check_layers, record_outputs
from training.user_errors import RecipeError


def exported(body: nn.Module, side: int, *, taps: tuple[str, ...]) -> Exported:
    config = InputConfig(channels=1, size=(side, side), steps=())
    return Exported(Normalised(body, config), activation="softmax", temperature=1.0, taps=taps).eval()


def test_a_layer_that_is_not_used_is_no_tap() -> None:
    body = LeNet5(1, 4)
    body.spare = nn.ReLU()
    with pytest.raises(ValueError, match=r"'spare'\], but does not use"):
        exported(body, 32, taps=("spare",))(torch.zeros(1, 1, 32, 32))


def doubling(*layers: nn.Module) -> nn.Sequential:
    """x -> 2 x, and then the layers."""
    first = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.constant_(first.weight, 2)
    return nn.Sequential(first, *layers)


def test_an_output_is_kept_as_the_layer_gave_it() -> None:
    """Though the next layer works in place; and after the context nothing is recorded."""
    network = doubling(nn.ReLU(inplace=True), nn.MaxPool2d(2))
    x = torch.tensor([[[[-1.0, 3.0], [1.0, -2.0]]]])
    with record_outputs(network, ("0", "2")) as tapped:
        network(x)
    assert {name: output.tolist() for name, output in tapped.items()} == {
        "0": [[[[-2, 6], [2, -4]]]], "2": [[[[6]]]]
    }  # fmt: skip
    network(x + 1)
    assert tapped["2"].item() == 6


def test_a_failing_network_is_left_without_recorders() -> None:
    network = doubling(nn.Linear(3, 3))
    with pytest.raises(RuntimeError, match="shapes"), record_outputs(network, ("0",)):
        network(torch.zeros(1, 1, 2, 2))
    assert not any(module._forward_hooks for module in network.modules())


def test_a_layer_there_is_not_is_named_beside_those_there_are() -> None:
    network = doubling(nn.ReLU())
    check_layers(network, ("0", "1"))
    with pytest.raises(RecipeError, match=r"no layer '2'; its first layers are \['0', '1'\]"):
        check_layers(network, ("1", "2"))
