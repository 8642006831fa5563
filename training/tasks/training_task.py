"""Protocol of a training task, and the decision rule that it chooses on the validation split."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from models.image import Array
from training.config import TrainingConfig

Score = Callable[[Array], float]  # indices (n,) of examples -> score


@dataclass(frozen=True, slots=True)
class Decision:
    """Decision rule: how probabilities become an answer. Every value is chosen on the validation split.

    thresholds: one for each class. temperature: divides the logits (Guo 2017). bias: one for each class, added after
    that; it corrects for classes that the loss weighs more (Saerens 2002). seed_threshold and min_area_px: for instance
    segmentation alone.
    """

    thresholds: tuple[float, ...]
    temperature: float = 1.0
    bias: tuple[float, ...] = ()
    seed_threshold: float = 0.5
    min_area_px: int = 10


class TrainingTask(Protocol):
    """One kind of ground truth. `headline` is the score that training maximises on the validation split."""

    activation: Literal["softmax", "sigmoid"]
    auxiliary: tuple[str, ...]  # outputs of the network besides the classes
    headline: str

    def target(self, truth: Array, classes: int) -> Array:
        """Returns what the loss compares the logits with."""
        ...

    def loss(self, config: TrainingConfig, truths: Sequence[Array]) -> nn.Module:
        """Returns the loss; truths: of the training split, for weights by frequency."""
        ...

    def decide(self, logits: Sequence[Array], truths: Sequence[Array]) -> Decision:
        """Chooses the decision rule on the validation split."""
        ...

    def scores(self, probabilities: Sequence[Array], truths: Sequence[Array], decision: Decision) -> dict[str, Score]:
        """Returns each score as a function of the examples to score."""
        ...


def calibrate(logits: Tensor, *, temperature: float, bias: tuple[float, ...]) -> Tensor:
    """Divides logits (N, C, ...) by the temperature and adds each class's bias."""
    scaled = logits / temperature
    return scaled + torch.tensor(bias).view(-1, *(1 for _ in logits.shape[2:])).to(scaled) if bias else scaled


def activate(logits: Tensor, activation: Literal["softmax", "sigmoid"]) -> Tensor:
    """Turns logits (N, C, ...) into probabilities (N, C, ...)."""
    return logits.softmax(dim=1) if activation == "softmax" else logits.sigmoid()


def mean_score(values: Sequence[float] | Array) -> Score:
    """Returns the score that averages these values, one for each image."""
    each = np.array(values)
    return lambda i: float(each[i].mean())
