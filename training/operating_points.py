"""Operating points: sensitivity, specificity and predictive values of thresholds for a target sensitivity."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.evaluation import Figure
from models.image import Array
from training.config import Recipe
from training.evaluation_metrics import Undefined, bootstrap_fraction

SENSITIVITIES = (0.90, 0.95, 0.99)
BinaryOutcomes = Mapping[str, tuple[Array, Array]]  # label -> probability (n,) and presence (n,) bool


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """One threshold of a label. figures: its sensitivity, specificity, ppv and npv, if defined."""

    label: str
    target_sensitivity: float
    threshold: float
    figures: tuple[Figure, ...]

    def document(self) -> dict[str, Any]:
        figures = [figure.model_dump(mode="json") for figure in self.figures]
        return {
            "label": self.label,
            "target_sensitivity": self.target_sensitivity,
            "threshold": self.threshold,
            "figures": figures,
        }


def binary_outcomes(
    recipe: Recipe, classes: Sequence[str], probabilities: Sequence[Array], truths: Sequence[Array]
) -> BinaryOutcomes:
    """Returns the binary outcomes: each class (of two, the second), each label, each node of the taxonomy."""
    if recipe.task not in ("multiclass", "multilabel"):
        return {}
    p, truth = np.stack(probabilities), np.stack(truths)
    present = truth > 0.5 if recipe.task == "multilabel" else truth[:, None] == np.arange(len(classes))
    first = 1 if recipe.task == "multiclass" and len(classes) == 2 else 0
    outcomes = {label: (p[:, c], present[:, c]) for c, label in enumerate(classes) if c >= first}
    if recipe.taxonomy:
        tree = recipe.taxonomy.of(classes)
        sums = tree.probabilities(p)
        outcomes |= {n: (sums[:, k], present[:, tree.below[k]].any(axis=1)) for k, n in enumerate(tree.nodes)}
    return outcomes


def threshold_for_sensitivity(sensitivity: float, probability: Array, positive: Array) -> float:
    """Returns the highest threshold with this sensitivity. Raises Undefined if no example is positive."""
    ranked = np.sort(probability[positive])[::-1]
    if not ranked.size:
        raise Undefined("A threshold needs at least one positive example.")
    return float(ranked[math.ceil(sensitivity * len(ranked)) - 1])


def operating_points(
    validation: BinaryOutcomes, outcomes: BinaryOutcomes, *, groups: Array, split: str
) -> list[OperatingPoint]:
    """Chooses thresholds on the validation split and scores them; skips labels without a positive example there."""
    points = []
    for label, (probability, positive) in outcomes.items():
        if not validation[label][1].any():
            continue
        for target in SENSITIVITIES:
            threshold = threshold_for_sensitivity(target, *validation[label])
            figures = _figures(probability >= threshold, positive, groups=groups, split=split)
            points.append(OperatingPoint(label, target, threshold, figures))
    return points


def _figures(predicted: Array, positive: Array, *, groups: Array, split: str) -> tuple[Figure, ...]:
    fractions = {
        "sensitivity": (predicted, positive),
        "specificity": (~predicted, ~positive),
        "ppv": (positive, predicted),
        "npv": (~positive, ~predicted),
    }
    defined = {name: one for name, one in fractions.items() if one[1].any()}
    return tuple(bootstrap_fraction(name, *one, groups=groups, split=split) for name, one in defined.items())
