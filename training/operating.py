"""What a threshold does: sensitivity, specificity and predictive values where a wanted sensitivity is to be reached."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.evaluation import Figure
from models.image import Array
from training.config import Recipe
from training.metrics import Undefined, bootstrap_share

SENSITIVITIES = (0.90, 0.95, 0.99)
Questions = Mapping[str, tuple[Array, Array]]  # label -> its probability (n,) and whether it is there (n,) bool


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """figures: sensitivity, specificity, ppv and npv at this threshold, without those that are not defined."""

    label: str
    wanted: float
    threshold: float
    figures: tuple[Figure, ...]

    def document(self) -> dict[str, Any]:
        figures = [figure.model_dump(mode="json") for figure in self.figures]
        return {"label": self.label, "wanted": self.wanted, "threshold": self.threshold, "figures": figures}


def questions(
    recipe: Recipe, classes: Sequence[str], probabilities: Sequence[Array], truths: Sequence[Array]
) -> Questions:
    """What can be asked with yes or no: each class, but of two the second; each label; each node of the tree."""
    if recipe.task not in ("classes", "labels"):
        return {}
    p, truth = np.stack(probabilities), np.stack(truths)
    present = truth > 0.5 if recipe.task == "labels" else truth[:, None] == np.arange(len(classes))
    first = 1 if recipe.task == "classes" and len(classes) == 2 else 0
    found = {label: (p[:, c], present[:, c]) for c, label in enumerate(classes) if c >= first}
    if recipe.taxonomy:
        tree = recipe.taxonomy.of(classes)
        sums = tree.probabilities(p)
        found |= {n: (sums[:, k], present[:, tree.below[k]].any(axis=1)) for k, n in enumerate(tree.nodes)}
    return found


def threshold_at(sensitivity: float, probability: Array, positive: Array) -> float:
    """The highest threshold that so large a share of the positive examples reaches. Raises Undefined where none is."""
    ranked = np.sort(probability[positive])[::-1]
    if not ranked.size:
        raise Undefined("There is no positive example by which to choose a threshold.")
    return float(ranked[math.ceil(sensitivity * len(ranked)) - 1])


def operating_points(chosen_on: Questions, asked: Questions, *, groups: Array, split: str) -> list[OperatingPoint]:
    """Thresholds chosen on one split, figures of another; nothing for a label without an example to choose by."""
    points = []
    for label, (probability, positive) in asked.items():
        if not chosen_on[label][1].any():
            continue
        for wanted in SENSITIVITIES:
            threshold = threshold_at(wanted, *chosen_on[label])
            figures = _figures(probability >= threshold, positive, groups=groups, split=split)
            points.append(OperatingPoint(label, wanted, threshold, figures))
    return points


def _figures(found: Array, positive: Array, *, groups: Array, split: str) -> tuple[Figure, ...]:
    shares = {
        "sensitivity": (found, positive),
        "specificity": (~found, ~positive),
        "ppv": (positive, found),
        "npv": (~positive, ~found),
    }
    defined = {name: one for name, one in shares.items() if one[1].any()}
    return tuple(bootstrap_share(name, *one, groups=groups, split=split) for name, one in defined.items())
