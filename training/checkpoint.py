"""A training run on disk: what it needs to go on bit for bit, and what export needs to make a package."""

import os
import pickle
from pathlib import Path
from typing import Any

import torch

from training.mistakes import Mistake

LAST, BEST = "last.pt", "best.pt"


def save(run: Path, name: str, state: dict[str, Any]) -> None:
    """Writes the file whole or not at all: a run that is killed while saving keeps its previous checkpoint."""
    draft = run / f".{name}"
    torch.save(state, draft)
    os.replace(draft, run / name)


def load(path: Path) -> dict[str, Any]:
    """Tensors and plain values only: a checkpoint cannot run code."""
    return torch.load(path, map_location="cpu", weights_only=True)


def load_best(path: Path) -> dict[str, Any]:
    """A finished run's best.pt. Raises Mistake for anything else."""
    try:
        state = load(path)
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        raise Mistake(f"{path} is damaged, or no checkpoint.") from error
    if not isinstance(state, dict) or "recipe" not in state:
        raise Mistake(f"{path} is no best.pt of a training run.")
    if "decision" not in state:
        raise Mistake(f"{path} is of a run that has not ended: training.train --resume goes on with it.")
    return state
