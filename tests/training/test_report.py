"""Tests of the report: tables for people and a document for programs."""

import json
from pathlib import Path

import pytest

from models.evaluation import Figure
from tests.training.hospital_sites import EXAMPLES, scores
from training import report, report_plots
from training.config import read_recipe
from training.operating_points import OperatingPoint
from training.subgroups import by_column


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


ACCURACY = Figure(metric="accuracy", value=0.9126, low=0.85, high=0.9499, n=60, split="test")


def test_a_row_has_a_figure_with_three_decimals_and_its_interval() -> None:
    assert report.table([ACCURACY]).splitlines() == [
        "| figure | value | 95 % interval | n | split |",
        "|---|---|---|---|---|",
        "| accuracy | 0.913 | 0.850 to 0.950 | 60 | test |",
    ]


def test_a_point_has_its_threshold_and_what_is_not_defined_is_said() -> None:
    sensitivity = ACCURACY.model_copy(update={"metric": "sensitivity"})
    table = report.point_table([OperatingPoint("sick", 0.95, 0.25, (sensitivity,))], split="test")
    header, rule, row = table.splitlines()[-3:]
    assert header == "| label | target sensitivity | threshold | sensitivity | specificity | ppv | npv |"
    assert rule.count("---") == 7
    assert row == ("| sick | 0.95 | 0.250 | 0.913 (0.850 to 0.950) | not defined | not defined | not defined |")


@pytest.mark.parametrize(("plot", "title"), [("roc.png", "ROC"), ("worst.png", "Worst masks"), ("by-a.png", "by-a")])
def test_a_plot_has_a_title(plot: str, title: str) -> None:
    assert report.title(plot) == title


def test_a_report_is_two_files_of_its_split(tmp_path: Path) -> None:
    recipe = read_recipe(Path("training/recipes/digits.toml"))
    report.write(tmp_path, recipe, report.EvaluationResult([ACCURACY]), split="validation", plots=("roc.png",))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["report-validation.json", "report-validation.md"]
    document = json.loads((tmp_path / "report-validation.json").read_text())
    assert document == {
        "recipe": "digits",
        "split": "validation",
        "figures": [ACCURACY.model_dump()],
        "subgroups": [],
        "operating_points": [],
    }
    page = (tmp_path / "report-validation.md").read_text()
    assert page.startswith(f"# digits: validation split\n\n{recipe.package.description}\n\n| figure |")
    assert page.endswith("\n\n## ROC\n\n![ROC](roc.png)\n")
