"""Tests of the classes that a package describes: names, thresholds, colours and parents."""

from pathlib import Path

from training.class_fields import COLOURS, class_fields
from training.config import Recipe, read_recipe

VALUES = read_recipe(Path("training/recipes/digits.toml")).model_dump()


def test_a_class_has_its_name_its_threshold_and_a_colour_of_its_own() -> None:
    recipe = Recipe.model_validate(VALUES | {"package": VALUES["package"] | {"names": {"b": "Benign"}}})
    fields = class_fields(["a", "b"], recipe, thresholds=(0.25, 0.75))
    assert fields["nodes"] == []
    assert fields["classes"] == [
        {"label": "a", "name": "", "parent": None, "threshold": 0.25, "colour": COLOURS[0]},
        {"label": "b", "name": "Benign", "parent": None, "threshold": 0.75, "colour": COLOURS[1]},
    ]


def test_colours_begin_again_after_the_last() -> None:
    count = len(COLOURS)
    labels = [str(number) for number in range(count + 2)]
    fields = class_fields(labels, Recipe.model_validate(VALUES), thresholds=(0.5,) * len(labels))
    assert [entry["colour"] for entry in fields["classes"]] == [*COLOURS, *COLOURS[:2]]


def test_parents_are_those_of_the_recipes_tree() -> None:
    tree = {"parents": {"a": "inner", "b": "inner", "inner": "root", "c": "root"}}
    package = VALUES["package"] | {"names": {"root": "Everything"}}
    recipe = Recipe.model_validate(VALUES | {"taxonomy": tree, "package": package})
    fields = class_fields(["a", "b", "c"], recipe, thresholds=(0.5,) * 3)
    assert [entry["parent"] for entry in fields["classes"]] == ["inner", "inner", "root"]
    assert sorted((node["label"], node["name"], node["parent"]) for node in fields["nodes"]) == [
        ("inner", "", "root"),
        ("root", "Everything", None),
    ]
