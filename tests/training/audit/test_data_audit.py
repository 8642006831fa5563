"""Tests of the data audit: every fault that is planted is found by its name, and nothing else; clean data pass."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from models.image import Array
from tests.data import real_data
from tests.training.audit.audit_images import files, folders, found, get, jpeg, pairs, put
from tests.training.audit.planted_faults import (
    as_jpeg,
    brightened,
    cut_short,
    framed,
    identical,
    leak,
    of_sick,
    resized,
    same_patient,
    tagged,
)
from training.audit.data_audit import audit_data, copied_examples, object_size_warning, recipe_split
from training.config import read_recipe
from training.data.examples import DataError
from training.evaluate import main as evaluate
from training.evaluated_model import EvaluatedModel
from training.findings import ALLOWABLE, NOT_ALLOWABLE, AuditFailed
from training.tasks.training_task import Decision


@pytest.mark.parametrize(
    ("plant", "name"),
    [
        (identical, "duplicates"),
        (leak(lambda pixels: jpeg(pixels, quality=50)), "near_duplicates"),
        (leak(resized), "near_duplicates"),
        (leak(brightened), "near_duplicates"),
        (leak(lambda pixels: jpeg(pixels[:, ::-1], quality=50)), "near_duplicates"),
        (leak(lambda pixels: jpeg(pixels[::-1], quality=50)), "near_duplicates"),
        (leak(lambda pixels: resized(np.rot90(pixels))), "near_duplicates"),
        (same_patient, "shared_groups"),
        (of_sick(framed), "label_from_borders"),
        (of_sick(as_jpeg), "label_from_format"),
        (of_sick(lambda path: put(path, get(path).astype(np.uint16) * 257)), "label_from_format"),
        (of_sick(lambda path: put(path, get(path)[:, :56])), "label_from_size"),
        (of_sick(tagged), "label_from_tags"),
        (cut_short, "unreadable"),
    ],
    ids=[
        "same",
        "jpeg",
        "resized",
        "brighter",
        "mirrored",
        "upside down",
        "turned",
        "patient",
        "border",
        "format",
        "depth",
        "size",
        "tags",
        "broken",
    ],
)
def test_a_planted_fault_is_found(plant: Callable[[list[Path]], None], name: str, tmp_path: Path) -> None:
    plant(files(tmp_path))
    assert {finding.name for finding in found(folders(tmp_path)) if finding.severity == "error"} == {name}


def test_clean_data_pass(tmp_path: Path) -> None:
    files(tmp_path / "labels")
    assert found(folders(tmp_path / "labels")) == []
    assert found(pairs(tmp_path / "masks")) == []


def test_refused_unless_allowed_and_then_recorded(tmp_path: Path) -> None:
    identical(files(tmp_path))
    recipe = folders(tmp_path)
    with pytest.raises(AuditFailed, match=r"p900_1\.png.*\n.*\n.*--allow duplicates"):
        audit_data(recipe, recipe.dataset())
    reasoned = folders(tmp_path, audit={"allow": {"duplicates": "known"}})
    assert audit_data(reasoned, reasoned.dataset()).allowed == {"duplicates": "known"}
    allowing = recipe.allowing(["duplicates", "label_from_size"])
    assert audit_data(allowing, recipe.dataset()).allowed == {"duplicates": "on the command line"}


@pytest.mark.parametrize("plant", [identical, leak(resized)])
def test_what_is_copied_is_evaluated_apart_too(plant: Callable[[list[Path]], None], tmp_path: Path) -> None:
    """By a guess that is right for the copy alone."""
    plant(files(tmp_path))
    recipe = folders(tmp_path).allowing(["duplicates", "near_duplicates"])
    parts = recipe_split(recipe, recipe.dataset())
    (copy,) = copied_examples(recipe, parts, "test")
    assert Path(copy).stem == "p900_1"
    assert len(copied_examples(recipe, parts, "train") | copied_examples(recipe, parts, "validation")) == 1
    # Without the allowance there is nothing to report: the audit would have failed.
    assert not copied_examples(folders(tmp_path), parts, "test")

    def probabilities(x: Array) -> Array:
        answer = next(answers)
        return np.eye(2, dtype=np.float32)[answer]

    answers = (
        int(example.truth()) if example.name == copy else 1 - int(example.truth())
        for example in [*parts["test"], *parts["validation"]]
    )
    subject = EvaluatedModel(probabilities, Decision((0.5, 0.5)))
    figures = {f.metric: f for f in evaluate(subject, recipe, split="test", out=tmp_path / "report")}
    count = len(parts["test"])
    assert figures["accuracy"].value == pytest.approx(1 / count)
    apart = figures["accuracy[no copy elsewhere]"]
    assert (apart.value, apart.n) == (0, count - 1)


def test_shared_groups_that_are_allowed_stay_so_when_the_recipe_is_read_again(tmp_path: Path) -> None:
    same_patient(files(tmp_path))
    recipe = folders(tmp_path).allowing(["shared_groups"])
    again = type(recipe).model_validate(recipe.model_dump())
    assert audit_data(again, again.dataset()).allowed == {"shared_groups": "on the command line"}


def test_what_no_training_can_read_cannot_be_allowed(tmp_path: Path) -> None:
    cut_short(files(tmp_path))
    recipe = folders(tmp_path).allowing(ALLOWABLE)
    with pytest.raises(DataError, match=r"unreadable \(error\): 1 images"):
        audit_data(recipe, recipe.dataset())
    for name in NOT_ALLOWABLE:
        with pytest.raises(ValidationError, match=f"{name} cannot be allowed.*shared_groups, duplicates, "):
            folders(tmp_path, audit={"allow": {name: "it is what it is"}})


def test_object_sizes_are_known_after_it(tmp_path: Path) -> None:
    recipe = pairs(tmp_path)
    assert audit_data(recipe, recipe.dataset()).object_side_px == 30


@pytest.mark.parametrize(
    ("side", "field", "size", "figures"),
    [
        (61, 204, None, ()),
        (61, 44, None, ("61 px", "44 px")),
        (None, 204, None, ()),
        (None, 435, (224, 224), ()),
        (None, 16, (32, 32), ("32 px", "16 px")),
    ],
)
def test_objects_larger_than_the_receptive_field(
    side: float | None, field: int, size: tuple[int, int] | None, figures: tuple[str, ...]
) -> None:
    said = object_size_warning(side, field, size=size)
    assert bool(said) == bool(figures)
    assert all(figure in said for figure in figures)


@pytest.mark.slow
@pytest.mark.timeout(900)  # it reads every image of the set
@pytest.mark.parametrize(
    ("recipe", "data"),
    [
        ("digits", None),
        ("pneumoniamnist", "medmnist/pneumoniamnist.npz"),
        ("breastmnist", "medmnist/breastmnist.npz"),
        ("pneumonia", "kermany_cxr"),
        ("pneumonia_cause", "kermany_cxr"),
        ("nuclei", "dsb2018/stage1_train.zip"),
        ("heartbeats", "ecg5000/ECG5000_TRAIN.txt"),
        ("promoters", "dna_promoters/promoters.data"),
    ],
)
def test_recipes_state_what_their_data_have(recipe: str, data: str | None) -> None:
    read = read_recipe(Path(f"training/recipes/{recipe}.toml"), data=real_data(data) if data else None)
    assert audit_data(read, read.dataset()).allowed == read.audit.allow
