"""Tests of checkpoints: written whole or not at all, and read without running code."""

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from training.checkpoint import BEST, LAST, load, load_best, save
from training.user_errors import UserError

FINISHED = {"recipe": {"name": "digits"}, "decision": {"thresholds": (0.5,)}, "weights": {"w": torch.arange(3.0)}}


def test_what_is_saved_is_loaded_and_nothing_else_is_left(tmp_path: Path) -> None:
    save(tmp_path, LAST, {"epoch": 1})
    save(tmp_path, LAST, FINISHED)
    assert [file.name for file in tmp_path.iterdir()] == [LAST]
    read = load(tmp_path / LAST)
    assert (read["recipe"], read["decision"]) == (FINISHED["recipe"], FINISHED["decision"])
    assert torch.equal(read["weights"]["w"], torch.arange(3.0))


def test_a_save_that_fails_keeps_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, LAST, {"epoch": 1})

    def cut_short(state: dict[str, Any], draft: Path) -> None:
        draft.write_bytes(b"PK")
        raise OSError("no space left")

    monkeypatch.setattr(torch, "save", cut_short)
    with pytest.raises(OSError, match="no space"):
        save(tmp_path, LAST, {"epoch": 2})
    assert load(tmp_path / LAST) == {"epoch": 1}


class Command:
    """Runs a command where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("made-by-a-checkpoint",)


def test_code_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(tmp_path, BEST, FINISHED | {"weights": Command()})
    with pytest.raises(pickle.UnpicklingError):
        load(tmp_path / BEST)
    with pytest.raises(UserError, match="is damaged or not a checkpoint"):
        load_best(tmp_path / BEST)
    assert not (tmp_path / "made-by-a-checkpoint").exists()


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ([1, 2], "is not the best.pt of a training run"),
        ({"decision": {}}, "is not the best.pt of a training run"),
        ({"recipe": {}}, "a run that has not finished; continue it with training.train --resume"),
    ],
)
def test_what_is_no_finished_run_is_refused(state: Any, says: str, tmp_path: Path) -> None:
    save(tmp_path, BEST, state)
    with pytest.raises(UserError, match=says):
        load_best(tmp_path / BEST)


def test_a_finished_run_is_read(tmp_path: Path) -> None:
    save(tmp_path, BEST, FINISHED)
    assert load_best(tmp_path / BEST)["decision"] == {"thresholds": (0.5,)}
