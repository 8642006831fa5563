"""Tests of the summary of a network: its input, its table, and what it asks for."""

from pathlib import Path

import pytest
from torch import nn

from training.summary import input_shape, main


@pytest.mark.parametrize(
    ("size", "wanted"),
    [((32,), (3, 32, 32)), ((32, 48), (3, 32, 48)), ((1, 32, 48), (1, 32, 48))],
)
def test_input(size: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    assert input_shape(nn.Conv2d(1, 1, 3), 3, size) == wanted


def test_the_table_of_a_recipe() -> None:
    recipe = Path("training/recipes/digits.toml")
    lines = main(str(recipe), classes=10, batch=32).splitlines()
    assert lines[0].split("  ")[0] == "layer"
    assert lines[1].split() == ["features.0", "conv", "5x5", "6x28x28", "156", "117,600", "5", "1", "1.15", "MiB"]
    assert "whole image" in lines[5]
    assert "parameters     61,706" in lines


def test_what_it_is_not_given_it_asks_for() -> None:
    with pytest.raises(ValueError, match="--input"):
        main("resnet18", classes=2, batch=1)
    with pytest.raises(ValueError, match="neither a recipe file nor one of"):
        main("resnet19", size=(32,), classes=2, batch=1)
    with pytest.raises(ValueError, match="2 axes"):
        main("resnet18", size=(1, 2, 3, 4), classes=2, batch=1)
