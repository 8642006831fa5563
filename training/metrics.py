"""Figures of merit, an image or an example at a time, and their bootstrap intervals."""

from collections.abc import Callable, Iterator

import numpy as np
from scipy.stats import rankdata

from models.evaluation import Figure
from models.image import Array

OfMasks = Callable[[Array, Array], float]  # predicted and true (H, W) bool -> figure


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


def aurocs(probabilities: Array, positive: Array) -> Array:
    """(n, C) and (n, C) bool -> (C,): the chance that a positive example has the higher probability (Mann 1947).

    Not defined, nan, where all or none are positive.
    """
    yes = positive.sum(axis=0)
    pairs = (yes * (len(positive) - yes)).astype(float)
    above = (rankdata(probabilities, axis=0) * positive).sum(axis=0) - yes * (yes + 1) / 2
    return np.divide(above, pairs, out=np.full(len(yes), np.nan), where=pairs > 0)


def auroc(probabilities: Array, truth: Array) -> float:
    """(n, C) and class indices (n,) -> area under the ROC curve, of class 1 for two, one-vs-rest mean for more."""
    if probabilities.shape[1] == 2:
        return binary_auroc(probabilities[:, 1], truth == 1)
    return float(aurocs(probabilities, truth[:, None] == np.arange(probabilities.shape[1])).mean())


def binary_auroc(probability: Array, positive: Array) -> float:
    """(n,) and (n,) bool -> `aurocs` of one label."""
    return float(aurocs(probability[:, None], positive[:, None])[0])


def net_benefit(probability: Array, positive: Array, *, threshold: float) -> float:
    """(n,) and (n,) bool -> TP / n - FP / n * t / (1 - t): true positives an image, less the harm of false ones.

    t is the probability from which one would rather treat than not (Vickers 2006).
    """
    treated = probability >= threshold
    odds = threshold / (1 - threshold)
    return float((treated & positive).mean() - (treated & ~positive).mean() * odds)


def macro_f1(probabilities: Array, truth: Array) -> float:
    """(n, C) and class indices (n,) -> F1 of class 1 for two classes, for more the mean over those that occur.

    A class occurs where it is true or predicted; F1 is 2 TP / (2 TP + FP + FN).
    """
    classes, predicted = probabilities.shape[1], probabilities.argmax(axis=1)
    right = np.bincount(truth[truth == predicted], minlength=classes)
    either = np.bincount(truth, minlength=classes) + np.bincount(predicted, minlength=classes)  # 2 TP + FP + FN
    each = 2 * right / np.maximum(either, 1)
    return float(each[1] if classes == 2 else each[either > 0].mean())


def f1(predicted: Array, true: Array) -> float:
    """(n,) bool each -> 2 TP / (2 TP + FP + FN); 0 where nothing is true or predicted."""
    either = int(predicted.sum()) + int(true.sum())
    return 2 * int((predicted & true).sum()) / max(either, 1)


def share(values: Array) -> float:
    """(n,) bool -> the share that is true; not defined, nan, for none."""
    return float(values.mean()) if values.size else float("nan")


def accuracy(probabilities: Array, truth: Array) -> float:
    """(n, C) and class indices (n,) -> share of examples whose most probable class is the true one."""
    return share(probabilities.argmax(axis=1) == truth)


class Undefined(ValueError):
    """A figure that these examples do not define."""


def bootstrap(
    metric: str, score: Callable[[Array], float], *, groups: Array, split: str, repeats: int = 1000, seed: int = 0
) -> Figure:
    """`score` of all examples and its 95 % percentile interval over resampled groups (Efron 1979).

    score takes indices (n,) of examples. groups (n,): what is drawn together, such as the patient of each example. A
    draw on which the score is not defined (one class only) is drawn again. Raises Undefined where it is not on all of
    them.
    """
    rng = np.random.default_rng(seed)
    names, member = np.unique(groups, return_inverse=True)
    members = [np.flatnonzero(member == g) for g in range(len(names))]
    values: list[float] = []
    whole = score(np.arange(len(groups)))
    if not np.isfinite(whole):
        raise Undefined(f"{metric} is not defined on the {split} split: has it an example of each class?")
    while len(values) < repeats:
        drawn = np.concatenate([members[g] for g in rng.integers(len(names), size=len(names))])
        value = score(drawn)
        if np.isfinite(value):
            values.append(value)
    low, high = np.percentile(values, [2.5, 97.5])
    return Figure(metric=metric, value=whole, low=float(low), high=float(high), n=len(groups), split=split)


def bootstrap_share(
    metric: str, hits: Array, among: Array, *, groups: Array, split: str, repeats: int = 1000, seed: int = 0
) -> Figure:
    """The share of `hits` (n,) bool in `among` (n,) bool, and its interval as `bootstrap` has it; n: what `among` has.

    Many times faster, since a draw only counts. Raises Undefined where there is nothing among which to count.
    """
    if not among.any():
        raise Undefined(f"{metric} is not defined on the {split} split: there is nothing among which to count.")
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
    """`binary_auroc` and its interval as `bootstrap` has it, many times faster: examples are sorted once.

    Raises Undefined where all or none are positive.
    """
    whole = binary_auroc(probability, positive)
    if not np.isfinite(whole):
        raise Undefined(f"{metric} is not defined on the {split} split: has it an example of each class?")
    order = probability.argsort()
    starts = np.flatnonzero(np.diff(probability[order], prepend=-np.inf))  # of examples of one probability: half each
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
    """(at_once, n) int: how often each example is drawn, of groups drawn whole with replacement."""
    names, member = np.unique(groups, return_inverse=True)
    rng, odds = np.random.default_rng(seed), np.full(len(names), 1 / len(names))
    for _ in range(repeats // at_once):
        yield rng.multinomial(len(names), odds, size=at_once)[:, member]
