"""A training run on disk: what it needs to go on bit for bit, and what export needs to make a package."""

import os
from pathlib import Path
from typing import Any

import torch

LAST, BEST = "last.pt", "best.pt"


def save(run: Path, name: str, state: dict[str, Any]) -> None:
    """Writes the file whole or not at all: a run that is killed while saving keeps its previous checkpoint."""
    draft = run / f".{name}"
    torch.save(state, draft)
    os.replace(draft, run / name)


def load(path: Path) -> dict[str, Any]:
    """Tensors and plain values only: a checkpoint cannot run code."""
    return torch.load(path, map_location="cpu", weights_only=True)
