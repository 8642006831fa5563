"""Figures of merit, an image or an example at a time, and their bootstrap intervals."""

import warnings
from collections.abc import Callable

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from models.image import Array
from models.spec import Figure


def dice(predicted: Array, true: Array) -> float:
    """Two masks (H, W) bool -> 2 |A and B| / (|A| + |B|); two empty masks agree: 1."""
    total = int(predicted.sum()) + int(true.sum())
    return 2 * int((predicted & true).sum()) / total if total else 1.0


def iou(predicted: Array, true: Array) -> float:
    """Two masks (H, W) bool -> |A and B| / |A or B|; two empty masks agree: 1."""
    union = int((predicted | true).sum())
    return int((predicted & true).sum()) / union if union else 1.0


def average_precision(predicted: Array, true: Array, *, threshold: float = 0.5) -> float:
    """Two label images (H, W) int, 0 background -> TP / (TP + FP + FN), as in the 2018 Data Science Bowl.

    An object is found (TP) when one predicted object has an IoU above the threshold with it; at 0.5 or more no object
    can have two such partners. No object in either: 1.
    """
    rows, columns = int(predicted.max()) + 1, int(true.max()) + 1
    overlap = np.bincount(predicted.ravel().astype(np.int64) * columns + true.ravel(), minlength=rows * columns)
    overlap = overlap.reshape(rows, columns)  # (predicted, true) pixels in common
    area, true_area = overlap.sum(axis=1, keepdims=True), overlap.sum(axis=0, keepdims=True)
    found = int((overlap > threshold * (area + true_area - overlap))[1:, 1:].sum())
    objects = int((area[1:] > 0).sum()) + int((true_area[:, 1:] > 0).sum())  # TP + FP + TP + FN
    return found / (objects - found) if objects else 1.0


def expected_calibration_error(confidence: Array, correct: Array, *, bins: int = 10) -> float:
    """confidence (n,) in [0, 1], correct (n,) bool -> mean |accuracy - confidence| over equal bins (Guo 2017)."""
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        abs(correct[which == b].mean() - confidence[which == b].mean()) * (which == b).mean() for b in np.unique(which)
    ]
    return float(sum(gaps))


def auroc(probabilities: Array, truth: Array) -> float:
    """(n, C) and class indices (n,) -> area under the ROC curve, of class 1 for two, one-vs-rest mean for more."""
    if probabilities.shape[1] == 2:
        return float(roc_auc_score(truth, probabilities[:, 1]))
    return float(roc_auc_score(truth, probabilities, multi_class="ovr", labels=range(probabilities.shape[1])))


def macro_f1(probabilities: Array, truth: Array) -> float:
    """(n, C) and class indices (n,) -> F1 of class 1 for two classes, the mean over classes for more."""
    average = "binary" if probabilities.shape[1] == 2 else "macro"
    return float(f1_score(truth, probabilities.argmax(axis=1), average=average))


def accuracy(probabilities: Array, truth: Array) -> float:
    """(n, C) and class indices (n,) -> share of examples whose most probable class is the true one."""
    return float(accuracy_score(truth, probabilities.argmax(axis=1)))


def bootstrap(
    metric: str, score: Callable[[Array], float], *, groups: Array, split: str, repeats: int = 1000, seed: int = 0
) -> Figure:
    """`score` of all examples and its 95 % percentile interval over resampled groups (Efron 1979).

    score takes indices (n,) of examples. groups (n,): what is drawn together, such as the patient of each example. A
    draw on which the score is not defined (one class only) is drawn again. Raises ValueError where it is not defined on
    all of them.
    """
    rng = np.random.default_rng(seed)
    names, member = np.unique(groups, return_inverse=True)
    members = [np.flatnonzero(member == g) for g in range(len(names))]
    values: list[float] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        whole = score(np.arange(len(groups)))
        if not np.isfinite(whole):
            raise ValueError(f"{metric} is not defined on the {split} split: has it an example of each class?")
        while len(values) < repeats:
            drawn = np.concatenate([members[g] for g in rng.integers(len(names), size=len(names))])
            value = score(drawn)
            if np.isfinite(value):
                values.append(value)
    low, high = np.percentile(values, [2.5, 97.5])
    return Figure(metric=metric, value=whole, low=float(low), high=float(high), n=len(groups), split=split)
