"""Frozen parts keep every weight and statistic; thawed they train; a stop in between changes nothing."""

from pathlib import Path

import pytest
import torch

from tests.training.digits_recipe import DIGITS
from training import checkpoint, train
from training.config import Recipe, read_recipe
from training.data.examples import DataSet
from training.freezing import freeze, frozen_parts

# Not 4: oneDNN (torch 2.13) then writes beyond a buffer on processors without AVX-512, and results vary.
RESNET = {"name": "resnet18", "options": {"width": 8, "stem": "small"}}
FROZEN = ("conv1.", "bn1.", "layer1.")


def recipe(monkeypatch: pytest.MonkeyPatch, **training: object) -> Recipe:
    """A narrow network on two hundred digits of 8 px, two epochs."""
    values = read_recipe(DIGITS).model_dump()
    values["network"] = RESNET
    values["input"]["size"] = (8, 8)
    values["training"] |= {"epochs": 2, "freeze": ("conv1", "bn1", "layer1"), "weight_decay": 0.5, **training}
    made = Recipe.model_validate(values)
    whole = made.data.load()
    monkeypatch.setattr(type(made.data), "load", lambda self: DataSet(whole.examples[:200], whole.classes))
    return made


def changed(run: Path, start: dict[str, torch.Tensor]) -> set[str]:
    """The parts' tensors, batch counters included, that are not as they were."""
    now = checkpoint.load(run / checkpoint.LAST)["loop"]["network"]
    return {name for name, tensor in start.items() if not torch.equal(tensor, now[f"body.{name}"])}


def start_of(made: Recipe) -> dict[str, torch.Tensor]:
    torch.manual_seed(made.training.seed)
    return {name: tensor.clone() for name, tensor in train.build(made, classes=10).body.state_dict().items()}


def test_frozen_parts_move_when_they_are_thawed_with_and_without_a_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = recipe(monkeypatch, thaw_at=1)
    start = start_of(made)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "patience_exhausted", lambda progress, config: progress["epoch"] == 1)
        train.main(made, run=tmp_path / "halves", device="cpu")
    moved = changed(tmp_path / "halves", start)
    assert moved == {name for name in start if not name.startswith(FROZEN)}  # batch counters and statistics too
    resumed = train.main(made, run=tmp_path / "halves", resume=True, device="cpu")
    assert changed(tmp_path / "halves", start) == set(start)
    through = train.main(made, run=tmp_path / "through", device="cpu")
    last = [checkpoint.load(tmp_path / name / checkpoint.LAST)["loop"]["network"] for name in ("through", "halves")]
    assert all(torch.equal(value, last[1][name]) for name, value in last[0].items())
    assert through["progress"] == resumed["progress"]


def test_a_part_there_is_not_is_named() -> None:
    config = read_recipe(DIGITS).training.model_copy(update={"freeze": ("layer9",), "thaw_at": 3})
    assert [frozen_parts(config, epoch) for epoch in (0, 2, 3)] == [("layer9",), ("layer9",), ()]
    with pytest.raises(ValueError, match=r"no part 'layer9' to freeze; it has \['0'\]"):
        freeze(torch.nn.Sequential(torch.nn.Linear(1, 1)), ("layer9",))
