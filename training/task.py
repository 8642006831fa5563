"""What training, evaluation and export ask of each kind of truth; training.tasks has them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from models.image import Array
from training.config import TrainingConfig

Score = Callable[[Array], float]  # indices (n,) of examples -> figure


@dataclass(frozen=True, slots=True)
class Decision:
    """What turns probabilities into an answer; everything here is chosen on the validation split.

    thresholds: for each class. temperature: divides the logits (Guo 2017). bias: of each class, is added to them then,
    so that what the loss weighs more is not said more often (Saerens 2002). The rest is for separate objects.
    """

    thresholds: tuple[float, ...]
    temperature: float = 1.0
    bias: tuple[float, ...] = ()
    seed_threshold: float = 0.5
    min_area_px: int = 10


class Task(Protocol):
    """One kind of truth. `headline` is the score that training maximises on the validation split."""

    activation: Literal["softmax", "sigmoid"]
    auxiliary: tuple[str, ...]
    headline: str

    def target(self, truth: Array, classes: int) -> Array: ...

    def loss(self, config: TrainingConfig, truths: Sequence[Array]) -> nn.Module: ...

    def decide(self, logits: Sequence[Array], truths: Sequence[Array]) -> Decision: ...

    def scores(
        self, probabilities: Sequence[Array], truths: Sequence[Array], decision: Decision
    ) -> dict[str, Score]: ...


def calibrated(logits: Tensor, *, temperature: float, bias: tuple[float, ...]) -> Tensor:
    """(N, C, ...) -> the same, over the temperature and with each class's bias."""
    scaled = logits / temperature
    return scaled + torch.tensor(bias).view(-1, *(1 for _ in logits.shape[2:])).to(scaled) if bias else scaled


def activate(logits: Tensor, activation: Literal["softmax", "sigmoid"]) -> Tensor:
    """(N, C, ...) -> probabilities (N, C, ...)."""
    return logits.softmax(dim=1) if activation == "softmax" else logits.sigmoid()


def mean_of(values: Sequence[float]) -> Score:
    """The mean of one figure an image."""
    each = np.array(values)
    return lambda i: float(each[i].mean())
