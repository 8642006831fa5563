"""Recipes: what is read, and which sentence a wrong one gets."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from training.config import Recipe, read_recipe

RECIPES = sorted(Path("training/recipes").glob("*.toml"))
DIGITS = Path("training/recipes/digits.toml").read_text()


@pytest.mark.parametrize("path", RECIPES, ids=[path.stem for path in RECIPES])
def test_every_shipped_recipe_is_valid(path: Path) -> None:
    assert read_recipe(path).name == path.stem


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_opens_with_its_command_and_says_what_it_reaches(path: Path) -> None:
    recipe = read_recipe(path)
    assert path.read_text().startswith(f"# python -m training.train {path}")
    assert recipe.reach


def test_a_mistyped_field_is_named() -> None:
    values = read_recipe(Path("training/recipes/digits.toml")).model_dump()
    values["training"]["epoch"] = 3
    with pytest.raises(ValidationError, match=r"training\.epoch"):
        Recipe.model_validate(values)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("classes", "multiclass"),
        ("labels", "multilabel"),
        ("regions", "semantic"),
        ("overlapping", "multilabel_semantic"),
        ("objects", "instance"),
    ],
)
def test_an_old_task_word_gets_the_new_one(old: str, new: str, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text(DIGITS.replace('task = "multiclass"', f'task = "{old}"'))
    with pytest.raises(ValueError, match=f"task = '{old}' is now called '{new}'"):
        read_recipe(recipe)
