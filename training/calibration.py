"""What the validation split decides: how sure a classifier may be, and from which probability on it says yes."""

from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.metrics import roc_curve

from models.image import Array


def fitted_temperature(loss: Callable[[float], float]) -> float:
    """The temperature between e^-3 and e^3 with the smallest loss (Guo 2017)."""
    fit = minimize_scalar(lambda log_t: loss(float(np.exp(log_t))), bounds=(-3, 3), method="bounded")
    return float(np.exp(fit.x))


def youden_threshold(probability: Array, positive: Array) -> float:
    """(n,) and (n,) bool -> where sensitivity + specificity is highest (Youden 1950)."""
    false_rate, true_rate, thresholds = roc_curve(positive, probability)
    return float(np.clip(thresholds[(true_rate - false_rate).argmax()], 0.0, 1.0))


def best_f1_threshold(probability: Array, positive: Array) -> float:
    """(n,) and (n,) bool -> the highest threshold with the best F1, halfway to the next lower probability.

    0.5 where nothing is positive.
    """
    order = probability.argsort()[::-1]
    ranked, found = probability[order], positive[order].cumsum()
    if not found[-1]:
        return 0.5
    ends = np.append(np.diff(ranked) < 0, True)  # a threshold lies between two different probabilities
    scores = np.where(ends, 2 * found / (np.arange(1, len(ranked) + 1) + found[-1]), 0)
    best = int(scores.argmax())
    return float((ranked[best] + np.append(ranked, 0)[best + 1]) / 2)
