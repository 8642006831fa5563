"""A site where the network fails, hidden in a good average."""

import json
from pathlib import Path

import numpy as np
import pytest

from training import report, report_plots
from training.config import read_recipe
from training.data.examples import DataError, Example, constant
from training.subgroups import by_column
from training.tasks import TASKS
from training.tasks.training_task import Decision

SITES = ["a"] * 100 + ["b"] * 60 + ["c"] * 10 + [""] * 40


def example(number: int, site: str) -> Example:
    columns = {"site": site, "number": str(number)} if site else {}
    nothing = constant(0)
    return Example(str(number), f"patient {number // 2}", "", None, nothing, nothing, columns)


EXAMPLES = [example(number, site) for number, site in enumerate(SITES)]


def scores() -> dict:
    """Always right but at b, where every other patient is mistaken; at c too, where all are of one class."""
    truth = np.arange(len(SITES)) % 2
    said = np.where(np.array(SITES) == "b", (truth + np.arange(len(SITES)) // 2) % 2, truth)
    truth = np.where(np.array(SITES) == "c", 1, truth)
    said = np.where(np.array(SITES) == "c", 0, said)
    p = np.eye(2, dtype=np.float32)[said] * 0.8 + 0.1
    every = TASKS["multiclass"].scores(list(p), list(truth), Decision(thresholds=(0.5, 0.5)))
    return {name: every[name] for name in ("accuracy", "auroc")}


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


def test_the_report_says_which_is_worst_and_which_is_small(tmp_path: Path) -> None:
    recipe = read_recipe(Path("training/recipes/digits.toml"))
    groups = by_column("site", EXAMPLES, scores(), headline="accuracy", split="test")
    whole = groups[1].figures["accuracy"]
    found = report.EvaluationResult([whole], groups)
    plots = report_plots.subgroup_and_decision_plots(found, {}, headline="accuracy")
    assert list(plots) == ["by-site.png"]
    report.write(tmp_path, recipe, found, split="test", plots=tuple(plots))
    lines = (tmp_path / "report-test.md").read_text().splitlines()
    assert [line for line in lines if "**worst**" in line] == [line for line in lines if line.startswith("| b |")]
    (small,) = (line for line in lines if line.startswith("| c |"))
    assert "10 of 5 groups" in small
    assert "not defined" in small
    assert small.endswith("| small: fewer than 30 groups |")
    document = json.loads((tmp_path / "report-test.json").read_text())
    assert [(g["value"], g["worst"], g["small"]) for g in document["subgroups"]][2] == ("b", True, False)
