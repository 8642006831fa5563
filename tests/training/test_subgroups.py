"""A site where the network fails, hidden in a good average."""

import numpy as np
import pytest

from tests.training.hospital_sites import EXAMPLES, scores
from training.data.examples import DataError
from training.subgroups import by_column


def test_each_value_has_its_figures_and_the_worst_is_marked() -> None:
    found = {group.value: group for group in by_column("site", EXAMPLES, scores(), headline="accuracy", split="test")}
    assert {v: (g.images, g.groups, g.small, g.worst) for v, g in found.items()} == {
        "(none)": (40, 20, True, False),
        "a": (100, 50, False, False),
        "b": (60, 30, False, True),  # c is worse, but too small to tell
        "c": (10, 5, True, False),
    }
    assert found["a"].figures["accuracy"].value == 1.0
    assert found["b"].figures["accuracy"].value == 0.5
    assert found["b"].figures["accuracy"].low < 0.5 < found["b"].figures["accuracy"].high
    assert "auroc" not in found["c"].figures  # of one class alone


def test_of_small_ones_alone_the_worst_is_marked_too() -> None:
    some = [*range(20), *range(160, 170)]
    few = [EXAMPLES[i] for i in some]
    parts = {name: (lambda i, of=of: of(np.array(some)[i])) for name, of in scores().items()}
    assert [g.worst for g in by_column("site", few, parts, headline="accuracy", split="test")] == [False, True]


def test_a_column_that_makes_no_subgroups_is_refused() -> None:
    with pytest.raises(DataError, match=r"No example has a column 'scanner'; the columns are \['number', 'site'"):
        by_column("scanner", EXAMPLES, {}, headline="accuracy", split="test")
    with pytest.raises(DataError, match="'number' has 171 values; at most 50"):
        by_column("number", EXAMPLES, {}, headline="accuracy", split="test")
