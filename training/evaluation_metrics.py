"""Evaluation metrics and their bootstrap intervals."""

from collections.abc import Callable, Iterator

import numpy as np
from scipy.stats import rankdata

from models.evaluation import Figure
from models.image import Array

ClassScore = Callable[[Array, Array], float]  # probabilities (n, C) and class indices (n,) -> score
MaskScore = Callable[[Array, Array], float]  # predicted and true (H, W) bool -> score


def dice(predicted: Array, true: Array) -> float:
    """Returns 2 |A and B| / (|A| + |B|) of two masks (H, W) bool; 1 if both are empty."""
    total = int(predicted.sum()) + int(true.sum())
    return 2 * int((predicted & true).sum()) / total if total else 1.0


def iou(predicted: Array, true: Array) -> float:
    """Returns |A and B| / |A or B| of two masks (H, W) bool; 1 if both are empty."""
    union = int((predicted | true).sum())
    return int((predicted & true).sum()) / union if union else 1.0


def average_precision(predicted: Array, true: Array, *, threshold: float = 0.5) -> float:
    """Returns TP / (TP + FP + FN) of two label images (H, W) int with background 0 (2018 Data Science Bowl).

    A true positive is a pair of predicted and true object with an IoU above the threshold; at 0.5 or more each object
    is in at most one pair. 1 if neither image has an object.
    """
    rows, columns = int(predicted.max()) + 1, int(true.max()) + 1
    overlap = np.bincount(predicted.ravel().astype(np.int64) * columns + true.ravel(), minlength=rows * columns)
    overlap = overlap.reshape(rows, columns)  # (predicted, true) pixels in common
    area, true_area = overlap.sum(axis=1, keepdims=True), overlap.sum(axis=0, keepdims=True)
    matches = int((overlap > threshold * (area + true_area - overlap))[1:, 1:].sum())
    objects = int((area[1:] > 0).sum()) + int((true_area[:, 1:] > 0).sum())  # TP + FP + TP + FN
    return matches / (objects - matches) if objects else 1.0


def expected_calibration_error(confidence: Array, correct: Array, *, bins: int = 10) -> float:
    """Returns the mean |accuracy - confidence| over equal bins (Guo 2017); confidence (n,), correct (n,) bool."""
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        abs(correct[which == b].mean() - confidence[which == b].mean()) * (which == b).mean() for b in np.unique(which)
    ]
    return float(sum(gaps))


def aurocs(probabilities: Array, positive: Array) -> Array:
    """Returns each column's area under the ROC curve: (n, C) and (n, C) bool -> (C,) (Mann and Whitney 1947).

    NaN (not defined) where all or none are positive.
    """
    yes = positive.sum(axis=0)
    pairs = (yes * (len(positive) - yes)).astype(float)
    above = (rankdata(probabilities, axis=0) * positive).sum(axis=0) - yes * (yes + 1) / 2
    areas: Array = np.divide(above, pairs, out=np.full(len(yes), np.nan), where=pairs > 0)
    return areas


def auroc(probabilities: Array, truth: Array) -> float:
    """Returns the AUROC of class 1 for two classes, the one-vs-rest mean for more; (n, C), class indices (n,)."""
    if probabilities.shape[1] == 2:
        return binary_auroc(probabilities[:, 1], truth == 1)
    return float(aurocs(probabilities, truth[:, None] == np.arange(probabilities.shape[1])).mean())


def binary_auroc(probability: Array, positive: Array) -> float:
    """Returns the AUROC of one label; (n,) and (n,) bool."""
    return float(aurocs(probability[:, None], positive[:, None])[0])


def net_benefit(probability: Array, positive: Array, *, threshold: float) -> float:
    """Returns the net benefit TP / n - FP / n * t / (1 - t); (n,) and (n,) bool (Vickers 2006).

    t: the threshold, the probability at which treating and not treating are equally good.
    """
    treated = probability >= threshold
    odds = threshold / (1 - threshold)
    return float((treated & positive).mean() - (treated & ~positive).mean() * odds)


def macro_f1(probabilities: Array, truth: Array) -> float:
    """Returns the F1 of class 1 for two classes, the mean over occurring classes for more; (n, C), indices (n,).

    A class occurs if it is true or predicted somewhere. F1 is 2 TP / (2 TP + FP + FN).
    """
    classes, predicted = probabilities.shape[1], probabilities.argmax(axis=1)
    right = np.bincount(truth[truth == predicted], minlength=classes)
    either = np.bincount(truth, minlength=classes) + np.bincount(predicted, minlength=classes)  # 2 TP + FP + FN
    each = 2 * right / np.maximum(either, 1)
    return float(each[1] if classes == 2 else each[either > 0].mean())


def f1(predicted: Array, true: Array) -> float:
    """Returns 2 TP / (2 TP + FP + FN) of (n,) bool each; 0 if nothing is true or predicted."""
    either = int(predicted.sum()) + int(true.sum())
    return 2 * int((predicted & true).sum()) / max(either, 1)


def fraction(values: Array) -> float:
    """Returns the fraction of (n,) bool that is true; NaN (not defined) for n = 0."""
    return float(values.mean()) if values.size else float("nan")


def accuracy(probabilities: Array, truth: Array) -> float:
    """Returns the fraction of examples whose most probable class is true; (n, C), class indices (n,)."""
    return fraction(probabilities.argmax(axis=1) == truth)


CLASS_SCORES: dict[str, ClassScore] = {"accuracy": accuracy, "auroc": auroc, "f1": macro_f1}
MASK_SCORES: dict[str, MaskScore] = {"dice": dice, "iou": iou}


class Undefined(ValueError):
    """A metric that these examples cannot support, such as an AUROC without positives."""


def bootstrap(
    metric: str, score: Callable[[Array], float], *, groups: Array, split: str, repeats: int = 1000, seed: int = 0
) -> Figure:
    """Returns a score and its 95 % percentile bootstrap interval, resampled by group (Efron 1979).

    score: takes indices (n,) of examples. groups (n,): the unit of resampling, such as each example's patient. A sample
    on which the score is not defined (a single class) is drawn again. Raises Undefined if the score is not defined on
    all examples.
    """
    rng = np.random.default_rng(seed)
    names, member = np.unique(groups, return_inverse=True)
    members = [np.flatnonzero(member == g) for g in range(len(names))]
    values: list[float] = []
    whole = score(np.arange(len(groups)))
    if not np.isfinite(whole):
        raise Undefined(f"{metric} is not defined on the {split} split: it needs examples of each class.")
    while len(values) < repeats:
        drawn = np.concatenate([members[g] for g in rng.integers(len(names), size=len(names))])
        value = score(drawn)
        if np.isfinite(value):
            values.append(value)
    low, high = np.percentile(values, [2.5, 97.5])
    return Figure(metric=metric, value=whole, low=float(low), high=float(high), n=len(groups), split=split)


def bootstrap_fraction(
    metric: str, hits: Array, among: Array, *, groups: Array, split: str, repeats: int = 1000, seed: int = 0
) -> Figure:
    """Returns the fraction of `hits` (n,) bool in `among` (n,) bool and its interval, as `bootstrap` does.

    Many times faster, because a sample only needs counts. Raises Undefined if `among` is empty.
    """
    if not among.any():
        raise Undefined(f"{metric} is not defined on the {split} split: there is no example to count.")
    counts = np.concatenate(
        [weights @ np.stack([hits & among, among], axis=1) for weights in _weights(groups, repeats=repeats, seed=seed)]
    )
    defined = counts[counts[:, 1] > 0]
    low, high = np.percentile(defined[:, 0] / defined[:, 1], [2.5, 97.5])
    value = float(hits[among].mean())
    return Figure(metric=metric, value=value, low=float(low), high=float(high), n=int(among.sum()), split=split)


def bootstrap_auroc(
    metric: str,
    probability: Array,
    positive: Array,
    *,
    groups: Array,
    split: str,
    repeats: int = 1000,
    seed: int = 0,
) -> Figure:
    """Returns `binary_auroc` and its interval, as `bootstrap` does; much faster, because examples are sorted once.

    Raises Undefined if all or none are positive.
    """
    whole = binary_auroc(probability, positive)
    if not np.isfinite(whole):
        raise Undefined(f"{metric} is not defined on the {split} split: it needs examples of each class.")
    order = probability.argsort()
    starts = np.flatnonzero(
        np.diff(probability[order], prepend=-np.inf)
    )  # of runs of equal probability: ties count half
    values = []
    for weights in _weights(groups, repeats=repeats, seed=seed):
        yes, no = (
            np.add.reduceat((weights * one)[:, order], starts, axis=1).astype(float) for one in (positive, ~positive)
        )
        pairs = (yes * (no.cumsum(axis=1) - no / 2)).sum(axis=1)
        every = yes.sum(axis=1) * no.sum(axis=1)
        values.append(pairs[every > 0] / every[every > 0])
    low, high = np.percentile(np.concatenate(values), [2.5, 97.5])
    return Figure(metric=metric, value=whole, low=float(low), high=float(high), n=len(groups), split=split)


def _weights(groups: Array, *, repeats: int, seed: int, at_once: int = 50) -> Iterator[Array]:
    """Yields (at_once, n) int: how often each example is drawn when whole groups are drawn with replacement."""
    names, member = np.unique(groups, return_inverse=True)
    rng, odds = np.random.default_rng(seed), np.full(len(names), 1 / len(names))
    for _ in range(repeats // at_once):
        yield rng.multinomial(len(names), odds, size=at_once)[:, member]
