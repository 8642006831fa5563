"""Every fault that is planted is found by its name, and nothing else; a clean data set passes."""

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from pydantic import ValidationError

from models.image import Array
from tests.data import real_data
from tests.training.audit.audit_images import files, folders, found, get, jpeg, pairs, put, texture
from training.audit.data_audit import audit_data, copied_examples, object_size_warning, recipe_split
from training.config import read_recipe
from training.data.examples import DataError
from training.evaluate import main as evaluate
from training.evaluated_model import EvaluatedModel
from training.findings import ALLOWABLE, NOT_ALLOWABLE, AuditFailed
from training.tasks.training_task import Decision


def leak(change: Callable[[Array], bytes]) -> Callable[[list[Path]], None]:
    """A training image stands in the test split too, changed."""

    def plant(images: list[Path]) -> None:
        train = next(path for path in images if "train/sick" in path.as_posix())
        test = next(path for path in images if "test/sick" in path.as_posix())
        test.with_name("p900_1.jpg").write_bytes(change(get(train)))

    return plant


def of_sick(change: Callable[[Path], object]) -> Callable[[list[Path]], None]:
    """Each image of the sick is changed in the same way."""

    def plant(images: list[Path]) -> None:
        for path in images:
            if path.parent.name == "sick":
                change(path)

    return plant


def resized(pixels: Array) -> bytes:
    half = PIL.Image.fromarray(pixels).resize((48, 48), PIL.Image.Resampling.BICUBIC)
    return jpeg(np.asarray(half), quality=60)


def brightened(pixels: Array) -> bytes:
    return jpeg(np.clip(pixels * 1.2 + 10, 0, 255).astype(np.uint8), quality=90)


def identical(images: list[Path]) -> None:
    next(p for p in images if "test" in p.parts).with_name("p900_1.png").write_bytes(images[-1].read_bytes())


def same_patient(images: list[Path]) -> None:
    train, test = (next(p for p in images if split in p.parts) for split in ("train", "test"))
    put(test.with_name(train.name.replace("_1", "_2")), texture(900))


def framed(path: Path) -> None:
    pixels = get(path)
    pixels[:, :6] = 0
    put(path, pixels)


def as_jpeg(path: Path) -> None:
    path.with_suffix(".jpg").write_bytes(jpeg(get(path), quality=90))
    path.unlink()


def tagged(path: Path) -> None:
    PIL.Image.fromarray(get(path)).save(path, dpi=(300, 300))


def cut_short(images: list[Path]) -> None:
    images[7].write_bytes(images[7].read_bytes()[:200])


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


def test_a_copy_within_a_split_is_a_warning(tmp_path: Path) -> None:
    image = files(tmp_path)[-1]
    image.with_name("p900_1.png").write_bytes(image.read_bytes())
    (finding,) = found(folders(tmp_path))
    assert (finding.name, finding.severity) == ("duplicates", "warning")
    assert "p900_1.png" in finding.cases[0]


@pytest.mark.parametrize(
    ("value", "where"),
    [(3, np.s_[:2, :2]), (1, np.s_[:, 60:])],  # no class; no fault, for this one cuts nothing off
    ids=["value", "class"],
)
def test_a_mask_with_a_value_that_is_no_class(value: int, where: tuple[slice, slice], tmp_path: Path) -> None:
    recipe = pairs(tmp_path)
    mask = get(tmp_path / "masks" / "05.png")
    mask[where] = value
    put(tmp_path / "masks" / "05.png", mask)
    assert [finding.name for finding in found(recipe)] == (["masks"] if value == 3 else [])


def test_a_mask_of_another_size(tmp_path: Path) -> None:
    recipe = pairs(tmp_path)
    put(tmp_path / "masks" / "05.png", np.zeros((64, 60), np.uint8))
    assert [finding.name for finding in found(recipe)] == ["masks"]


def test_a_split_without_a_class(tmp_path: Path) -> None:
    files(tmp_path)
    rows = ["file,label,split"]
    for path in sorted(tmp_path.rglob("*.png")):
        split, label, _ = path.relative_to(tmp_path).parts
        if (split, label) != ("val", "sick"):
            rows.append(f"{path.relative_to(tmp_path)},{label},{split}")
    (tmp_path / "table.csv").write_text("\n".join(rows))
    data = {"loader": "table", "path": tmp_path / "table.csv", "images": tmp_path, "split": "split"}
    (finding,) = found(folders(tmp_path, data=data))
    assert (finding.name, finding.cases) == ("missing_classes", ("validation: sick",))


def test_a_finding_names_its_figure_and_what_to_do(tmp_path: Path) -> None:
    of_sick(framed)(files(tmp_path))
    (finding,) = found(folders(tmp_path))
    assert "AUROC 1.000" in finding.summary
    assert "most informative: left" in finding.summary
    assert finding.remedy in str(finding)


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


@pytest.mark.parametrize(("faulty", "status"), [(True, 1), (False, None)])
def test_the_command_line(faulty: bool, status: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = files(tmp_path)
    if faulty:
        cut_short(images)
    recipe = "training/recipes/pneumonia.toml"
    monkeypatch.setattr(sys, "argv", ["training.audit", recipe, "--data", str(tmp_path)])
    if status is None:
        runpy.run_module("training.audit", run_name="__main__")
        return
    with pytest.raises(SystemExit, match="unreadable"):
        runpy.run_module("training.audit", run_name="__main__")


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
