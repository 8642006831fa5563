"""Calibration on the validation split: temperature and decision thresholds."""

from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.metrics import roc_curve

from models.image import Array


def fit_temperature(loss: Callable[[float], float]) -> float:
    """Returns the temperature between e^-3 and e^3 with the smallest loss (Guo 2017)."""
    fit = minimize_scalar(lambda log_t: loss(float(np.exp(log_t))), bounds=(-3, 3), method="bounded")
    return float(np.exp(fit.x))


def youden_threshold(probability: Array, positive: Array) -> float:
    """Returns the threshold with the highest sensitivity + specificity (Youden 1950); (n,) and (n,) bool."""
    false_rate, true_rate, thresholds = roc_curve(positive, probability)
    return float(np.clip(thresholds[(true_rate - false_rate).argmax()], 0.0, 1.0))


def best_f1_threshold(probability: Array, positive: Array) -> float:
    """Returns the highest threshold with the best F1, halfway to the next lower probability; (n,) and (n,) bool.

    0.5 if nothing is positive.
    """
    order = probability.argsort()[::-1]
    ranked, hits = probability[order], positive[order].cumsum()
    if not hits[-1]:
        return 0.5
    ends = np.append(np.diff(ranked) < 0, True)  # a threshold lies between two different probabilities
    scores = np.where(ends, 2 * hits / (np.arange(1, len(ranked) + 1) + hits[-1]), 0)
    best = int(scores.argmax())
    return float((ranked[best] + np.append(ranked, 0)[best + 1]) / 2)
