"""The disease-partitioning algorithm on a tree of ten images, and a recipe's tree on digits."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.taxonomy import Taxonomy
from tests.training.digits_recipe import DIGITS
from training import evaluate
from training.class_fields import class_fields
from training.config import Recipe, read_recipe
from training.data.examples import DataError, DataSet, Example, constant
from training.evaluated_model import EvaluatedModel
from training.tasks.training_task import Decision
from training.taxonomy_config import TaxonomyConfig, partition

#            skin
#     benign       malignant
#   naevus wart    melanoma carcinoma
#    4      1        3      1 squamous, 1 basal
TREE = {
    "skin": ["benign", "malignant"],
    "benign": ["naevus", "wart"],
    "malignant": ["melanoma", "carcinoma"],
    "carcinoma": ["squamous", "basal"],
    **dict.fromkeys(("naevus", "wart", "melanoma", "squamous", "basal"), ()),
}
COUNTS = {"naevus": 4, "wart": 1, "melanoma": 3, "squamous": 1, "basal": 1}
PARENTS = {child: node for node, children in TREE.items() for child in children}


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        (11, {"skin"}),
        (10, {"benign", "malignant"}),  # as many as the bound is too many: the paper's "<"
        (6, {"benign", "malignant"}),
        (5, {"naevus", "wart", "melanoma", "carcinoma"}),
        (3, {"naevus", "wart", "melanoma", "carcinoma"}),  # too large a leaf is a class all the same
        (2, {"naevus", "wart", "melanoma", "squamous", "basal"}),
    ],
)
def test_a_node_with_fewer_images_is_a_class(size: int, wanted: set[str]) -> None:
    parts = list(partition(TREE, "skin", COUNTS, max_class_size=size))
    assert {part[0] for part in parts} == wanted
    leaves = [label for part in parts for label in part if label in COUNTS]
    assert sorted(leaves) == sorted(COUNTS)  # each in one class


def test_a_nodes_own_images_are_not_lost() -> None:
    parts = list(partition(TREE, "carcinoma", {"carcinoma": 5, "basal": 1}, max_class_size=4))
    assert parts == [("carcinoma",), ("squamous",), ("basal",)]


def data(counts: dict[str, int]) -> DataSet:
    labels = [label for label, count in counts.items() for _ in range(count)]
    classes = tuple(sorted(counts))
    examples = [
        Example(str(n), str(n), label, None, constant(0), constant(np.int64(classes.index(label))))
        for n, label in enumerate(labels)
    ]
    return DataSet(tuple(examples), classes)


def test_a_recipe_merges_classes_along_its_tree() -> None:
    config = TaxonomyConfig(parents=PARENTS, max_class_size=5)
    whole = data(COUNTS)
    merged = config.merge(whole)
    assert merged.classes == ("carcinoma", "melanoma", "naevus", "wart")
    assert [merged.classes[int(e.truth())] for e in merged.examples] == (
        ["naevus"] * 4 + ["wart"] + ["melanoma"] * 3 + ["carcinoma"] * 2
    )
    assert [e.stratum for e in merged.examples] == [e.stratum for e in whole.examples]
    assert config.of(merged.classes).nodes == ("malignant", "skin", "benign")
    assert TaxonomyConfig(parents=PARENTS).merge(whole) is whole


def test_a_tree_of_other_classes_is_refused() -> None:
    with pytest.raises(DataError, match=r"unknown classes \['mole'\]; the classes of the data are"):
        TaxonomyConfig(parents=PARENTS | {"mole": "benign"}).merge(data(COUNTS))
    with pytest.raises(DataError, match="'carcinoma' has its own images and the classes"):
        TaxonomyConfig(parents=PARENTS).merge(data(COUNTS | {"carcinoma": 2}))
    with pytest.raises(DataError, match="The taxonomy is not a tree: the node 'odd' is above itself"):
        TaxonomyConfig(parents={"wart": "odd", "odd": "even", "even": "odd"}).merge(data(COUNTS))


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
