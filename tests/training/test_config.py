"""Recipes: what is read, and which sentence a wrong one gets."""

from pathlib import Path

import pytest

from training.config import read_recipe

RECIPES = sorted(Path("training/recipes").glob("*.toml"))
DIGITS = Path("training/recipes/digits.toml").read_text()


@pytest.mark.parametrize("path", RECIPES, ids=[path.stem for path in RECIPES])
def test_every_shipped_recipe_is_valid(path: Path) -> None:
    assert read_recipe(path).name == path.stem


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
