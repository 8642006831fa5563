"""Checkpoints of a training run: one to resume bit for bit, one to export."""

import os
import pickle
from pathlib import Path
from typing import Any

import torch

from training.user_errors import UserError

LAST, BEST = "last.pt", "best.pt"


def save(run: Path, name: str, state: dict[str, Any]) -> None:
    """Writes the file atomically: a run that is killed while saving keeps its previous checkpoint."""
    draft = run / f".{name}"
    torch.save(state, draft)
    os.replace(draft, run / name)


def load(path: Path) -> dict[str, Any]:
    """Reads a checkpoint. It may hold tensors and plain values only, so it cannot run code."""
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def load_best(path: Path) -> dict[str, Any]:
    """Reads a finished run's best.pt. Raises UserError for anything else."""
    try:
        state = load(path)
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        raise UserError(f"{path} is damaged or not a checkpoint.") from error
    if not isinstance(state, dict) or "recipe" not in state:
        raise UserError(f"{path} is not the best.pt of a training run.")
    if "decision" not in state:
        raise UserError(f"{path} is from a run that has not finished; continue it with training.train --resume.")
    return state
