"""Tests of the evaluation: the figures of a split, of its parts, labels and classes, and what falls below a recipe."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.evaluation import Figure
from models.image import Array
from models.taxonomy import Taxonomy
from tests.training.digits_recipe import DIGITS
from training import evaluate
from training.class_fields import class_fields
from training.config import InputConfig, Recipe, read_recipe
from training.data.examples import DataSet, Example, constant
from training.evaluated_model import EvaluatedModel
from training.prepared_dataset import PreparedDataset
from training.tasks import TASKS
from training.tasks.training_task import Decision


def test_evaluation_and_package_answer_at_every_level(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A subject that takes every 8 for a 6 and is right else: wrong among the digits, right among the round ones."""
    values = read_recipe(DIGITS).model_dump()
    values["taxonomy"] = {"parents": dict.fromkeys("0689", "round") | dict.fromkeys("147", "straight")}
    recipe = Recipe.model_validate(values)
    whole = recipe.data.load()
    some = tuple(replace(e, columns={"hand": "left" if n % 3 else "right"}) for n, e in enumerate(whole.examples[:200]))
    monkeypatch.setattr(type(recipe.data), "load", lambda self: DataSet(some, whole.classes))
    truths = iter([int(e.truth()) for e in evaluate.divide(recipe.dataset(), recipe.split)["test"]] * 2)

    def probabilities(x: np.ndarray) -> np.ndarray:
        said = {8: 6}.get(truth := next(truths, 0), truth)
        return np.eye(10, dtype=np.float32)[said] * 0.9 + 0.01

    figures = {
        f.metric: f.value
        for f in evaluate.main(
            EvaluatedModel(probabilities, Decision(thresholds=(0.5,) * 10)),
            recipe,
            split="test",
            out=tmp_path,
            by=("hand",),
        )
    }
    assert figures["accuracy"] < 0.95
    assert figures["accuracy[level 0]"] == figures["auroc[round]"] == 1.0
    assert (tmp_path / "by-hand.png").stat().st_size > 1000
    assert (tmp_path / "decision.png").stat().st_size > 1000
    report = (tmp_path / "report-test.md").read_text()
    assert "| round | 0.95 |" in report
    assert "## By hand" in report
    fields = class_fields([str(n) for n in range(10)], recipe, thresholds=(0.5,) * 10)
    assert [node["label"] for node in fields["nodes"]] == ["round", "straight"]
    assert [entry["parent"] for entry in fields["classes"]][:3] == ["round", "straight", None]
    assert isinstance(recipe.taxonomy.of(["6", "8"]), Taxonomy)


def recipe_of(task: str) -> Recipe:
    """A recipe of this task; images of any size for masks."""
    recipe = read_recipe(DIGITS)
    size = (32, 32) if task in ("multiclass", "multilabel") else None
    return recipe.model_copy(update={"task": task, "input": recipe.input.model_copy(update={"size": size})})


def data_of(task: str, truths: Sequence[Array], *, strata: Sequence[str] = ()) -> PreparedDataset:
    """Blank images with these truths, of patients of their own."""
    images = [np.zeros((*truth.shape, 1) if truth.ndim == 2 else (1, 1, 1), np.uint8) for truth in truths]
    examples = [
        Example(str(n), str(n), stratum, None, constant(image), constant(truth))
        for n, (image, truth, stratum) in enumerate(zip(images, truths, strata or [""] * len(truths)))
    ]
    config = InputConfig(channels=1, steps=({"id": "ensure_dtype"},))
    return PreparedDataset(examples, config=config, task=TASKS[task], classes=2)


MASK = np.zeros((1, 1), np.int32)
CORRECT = np.array([1.0, 1.0, 0.0, 0.0])


@pytest.mark.parametrize(
    ("task", "strata", "copied", "wanted"),
    [
        ("semantic", ["a"] * 4, set(), {"x": (0.5, 4)}),
        ("semantic", ["a 1", "a 2", "b 1", "b 2"], set(), {"x": (0.5, 4), "x[a]": (1, 2), "x[b]": (0, 2)}),
        ("semantic", ["a"] * 4, {"0"}, {"x": (0.5, 4), "x[no copy elsewhere]": (pytest.approx(1 / 3), 3)}),
        ("semantic", ["a"] * 4, {"0", "1", "2", "3"}, {"x": (0.5, 4)}),  # without an image there is no figure
    ],
)
def test_a_split_has_figures_of_each_kind_of_image(
    task: str, strata: list[str], copied: set[str], wanted: dict[str, tuple[float, int]]
) -> None:
    data = data_of(task, [MASK] * 4, strata=strata)
    scores = {"x": lambda i: float(CORRECT[i].mean())}
    figures = evaluate.split_figures(recipe_of(task), data, scores, split="test", copied=copied)
    assert {figure.metric: (figure.value, figure.n) for figure in figures} == wanted


def test_a_figure_that_a_part_does_not_define_is_left_out() -> None:
    data = data_of("semantic", [MASK] * 4, strata=["a", "a", "b", "b"])
    scores = {"x": lambda i: float(CORRECT[i].mean()) if CORRECT[i].any() else math.nan}
    figures = evaluate.split_figures(recipe_of("semantic"), data, scores, split="test")
    assert [figure.metric for figure in figures] == ["x", "x[a]"]


def test_each_label_has_its_figures_at_its_own_threshold() -> None:
    """Both labels are told apart without a mistake by 0.3, but by 0.8 the second is said of one of two."""
    truths = [np.array(truth, np.float32) for truth in ([1, 1], [1, 1], [0, 0])]
    probabilities = [np.array(p) for p in ([0.9, 0.9], [0.4, 0.4], [0.1, 0.1])]
    data, recipe = data_of("multilabel", truths), recipe_of("multilabel")
    dataset = DataSet(tuple(data.examples), ("first", "second"))
    decision = Decision(thresholds=(0.3, 0.8))
    figures = evaluate.decision_figures(recipe, dataset, data, probabilities, decision, "test")
    assert {f.metric: f.value for f in figures} == pytest.approx({"f1[first]": 1, "f1[second]": 2 / 3})
    present = np.stack(truths) > 0.5
    outcomes = {"first": (np.stack(probabilities)[:, 0], present[:, 0]), "all": (np.ones(3), np.ones(3, bool))}
    figures = evaluate.label_figures(recipe, dataset, data, probabilities, outcomes, "test")
    assert {f.metric: f.value for f in figures} == {"auroc[first]": 1}  # one that all have is left out
    assert evaluate.label_figures(recipe_of("multiclass"), dataset, data, probabilities, outcomes, "test") == []


def test_each_class_of_pixels_but_the_background_has_its_dice() -> None:
    """Of four pixels: the first class is said of its own one and another's; the second of one of its two."""
    truth, said = np.array([[0, 1, 2, 2]], np.int32), np.array([[0, 1, 1, 2]])
    data, classes = data_of("semantic", [truth]), ("ground", "first", "second")
    dataset = DataSet(tuple(data.examples), classes)
    p = [np.eye(3)[said].transpose(2, 0, 1)]
    decision = Decision(thresholds=(0.5,) * 3)
    figures = evaluate.decision_figures(recipe_of("semantic"), dataset, data, p, decision, "test")
    assert {f.metric: f.value for f in figures} == pytest.approx({"dice[first]": 2 / 3, "dice[second]": 2 / 3})


@pytest.mark.parametrize(
    ("value", "minimum", "sentences"),
    [
        (0.91, 0.9, []),
        (0.9, 0.9, []),
        (0.89, 0.9, ["accuracy is 0.8900; digits must reach 0.9."]),
        (None, 0.9, ["accuracy is nan; digits must reach 0.9."]),  # a figure that there is not
    ],
)
def test_a_recipe_must_be_reached(value: float | None, minimum: float, sentences: list[str]) -> None:
    recipe = read_recipe(DIGITS).model_copy(update={"reach": {"accuracy": minimum}})
    figures = [Figure(metric="accuracy", value=value, low=0, high=1, n=9, split="test")] if value is not None else []
    assert evaluate.below_minimum(recipe, figures) == sentences


def test_every_example_is_predicted_as_it_is_prepared() -> None:
    examples = [Example(f"{n}", "", "", None, constant(np.full((8, 8, 1), n)), constant(n)) for n in (1, 2)]
    recipe = read_recipe(DIGITS)
    sizes = EvaluatedModel(lambda x: np.array(x.shape), Decision(thresholds=()))
    data, found = evaluate.predict_examples(sizes, recipe, DataSet((), ("a", "b")), examples)
    assert [each.tolist() for each in found] == [[1, 32, 32]] * 2
    assert [int(truth) for truth in data.truths] == [1, 2]
