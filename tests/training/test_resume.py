"""Going on with a run: by its audit, on its data, as its recipe says; on 200 digits."""

from pathlib import Path
from typing import Any

import pytest
import torch

from training import checkpoint, evaluate, train
from training.config import Recipe, read_recipe
from training.data.examples import DataError, DataSet
from training.evaluated_model import model_from_checkpoint

VALUES = read_recipe(Path("training/recipes/digits.toml")).model_dump()


def recipe(**tables: dict[str, Any]) -> Recipe:
    values = VALUES | {"training": VALUES["training"] | {"epochs": 2}}
    return Recipe.model_validate(values | {name: values[name] | changed for name, changed in tables.items()})


@pytest.fixture(autouse=True)
def few_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    loader = recipe().data
    data = loader.load()
    monkeypatch.setattr(type(loader), "load", lambda self: DataSet(data.examples[:200], data.classes))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run that was stopped after the first of its two epochs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "patience_exhausted", lambda progress, config: progress["epoch"] == 1)
        train.main(recipe(), run=tmp_path, device="cpu")
    return tmp_path


def test_it_goes_on_by_its_audit(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is made again, and what the first allowed and started from still reaches the package."""
    state = checkpoint.load(run / checkpoint.LAST)
    recorded = {"allowed": {"duplicates": "known"}, "started_from": "some.pth"}
    state["about"] |= recorded
    checkpoint.save(run, checkpoint.LAST, state)
    monkeypatch.delattr(train, "audit_data")
    best = train.main(recipe(), run=run, resume=True, device="cpu")
    assert best["progress"]["epoch"] == 2
    assert checkpoint.load(run / checkpoint.LAST)["about"].items() >= recorded.items()


def test_a_run_from_before_this_was_kept_is_audited_again(run: Path) -> None:
    state = checkpoint.load(run / checkpoint.LAST)
    del state["about"]
    checkpoint.save(run, checkpoint.LAST, state)
    train.main(recipe(), run=run, resume=True, device="cpu")
    assert checkpoint.load(run / checkpoint.LAST)["about"]["classes"] == list("0123456789")


@pytest.mark.parametrize(
    ("tables", "says"),
    [
        (
            {"input": {"steps": ({"id": "ensure_dtype"},)}},
            "input.steps, training examples, validation examples changed",
        ),
        ({"split": {"turn": 1}}, "the split, training examples, validation examples changed"),
        ({"training": {"epochs": 3, "workers": 1}}, "training.epochs changed"),
    ],
    ids=["intensities", "split", "epochs"],
)
def test_it_does_not_go_on_with_something_else(tables: dict[str, Any], says: str, run: Path) -> None:
    with pytest.raises(DataError, match=f"cannot be resumed: since it began, {says}\\."):
        train.main(recipe(**tables), run=run, resume=True, device="cpu")


def test_images_read_whenever_drawn_train_the_same_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Bit for bit. LeNet-5's features see 16 of 32 px, its dense layers all of them: nothing warns."""
    held = train.main(recipe(), run=tmp_path / "once", device="cpu")
    drawn = train.main(recipe(input={"read": "always"}), run=tmp_path / "always", device="cpu")
    assert all(torch.equal(tensor, drawn["weights"][name]) for name, tensor in held["weights"].items())
    assert [held[key] for key in ("data_sha256", "intensity")] == [drawn[key] for key in ("data_sha256", "intensity")]
    assert "receptive field" not in capsys.readouterr().out


@pytest.mark.parametrize(("turn", "warned"), [(0, False), (1, True)])
def test_an_evaluation_on_another_split_warns(
    turn: int, warned: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its test images may be those that were trained on."""
    train.main(recipe(training={"epochs": 1}), run=tmp_path, device="cpu")
    subject, used = model_from_checkpoint(tmp_path / checkpoint.BEST, device=torch.device("cpu"))
    split = used.split.model_copy(update={"turn": turn})
    evaluate.main(subject, used.model_copy(update={"split": split}), split="test", out=tmp_path)
    assert (evaluate.OTHER_SPLIT in capsys.readouterr().out) is warned
