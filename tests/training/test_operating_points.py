"""Thresholds and what they do, on examples few enough to count."""

import numpy as np
import pytest

from training.evaluation_metrics import (
    Undefined,
    binary_auroc,
    bootstrap,
    bootstrap_auroc,
    bootstrap_fraction,
    net_benefit,
)
from training.operating_points import operating_points, threshold_for_sensitivity

P = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])
SICK = np.array([1, 1, 0, 1, 0, 1, 0, 0], bool)


@pytest.mark.parametrize(("sensitivity", "wanted"), [(0.25, 0.9), (0.5, 0.8), (0.51, 0.6), (0.75, 0.6), (0.9, 0.4)])
def test_the_highest_threshold_that_is_sensitive_enough(sensitivity: float, wanted: float) -> None:
    assert threshold_for_sensitivity(sensitivity, P, SICK) == wanted
    assert P[SICK][wanted <= P[SICK]].size >= 4 * sensitivity


def test_thresholds_are_of_one_split_and_figures_of_another() -> None:
    """On validation 0.4 finds all; among these eight it calls four of the sick and two of the others positive."""
    (point, *others) = operating_points({"sick": (P, SICK)}, {"sick": (P, SICK)}, groups=np.arange(8), split="test")
    assert [other.target_sensitivity for other in others] == [0.95, 0.99]
    assert (point.target_sensitivity, point.threshold) == (0.9, 0.4)
    figures = {figure.metric: (figure.value, figure.n) for figure in point.figures}
    assert figures == {
        "sensitivity": (1.0, 4),
        "specificity": (0.5, 4),
        "ppv": (pytest.approx(4 / 6), 6),
        "npv": (1.0, 2),
    }
    (lower, *_) = operating_points({"sick": (P, SICK)}, {"sick": (P - 0.35, SICK)}, groups=np.arange(8), split="test")
    assert lower.threshold == 0.4
    assert {f.metric: f.value for f in lower.figures}["sensitivity"] == 0.5


def test_without_a_positive_example_there_is_no_threshold() -> None:
    nobody = np.zeros(8, bool)
    with pytest.raises(Undefined):
        threshold_for_sensitivity(0.9, P, nobody)
    assert operating_points({"sick": (P, nobody)}, {"sick": (P, SICK)}, groups=np.arange(8), split="test") == []


@pytest.mark.parametrize(
    ("threshold", "wanted"),
    [
        (0.01, 4 / 8 - 4 / 8 * 1 / 99),  # all are treated
        (0.25, 4 / 8 - 3 / 8 * 1 / 3),
        (0.5, 3 / 8 - 2 / 8),  # a false positive counts as much as a true one
        (0.75, 2 / 8),
        (0.95, 0.0),  # nobody
    ],
)
def test_net_benefit(threshold: float, wanted: float) -> None:
    assert net_benefit(P, SICK, threshold=threshold) == pytest.approx(wanted)


def test_auroc_counts_pairs() -> None:
    assert binary_auroc(P, SICK) == 13 / 16
    assert binary_auroc(np.ones(8), SICK) == 0.5
    assert np.isnan(binary_auroc(P, np.ones(8, bool)))


def test_the_fast_interval_of_an_auroc_is_the_slow_ones() -> None:
    rng = np.random.default_rng(2)
    positive, groups = rng.random(200) < 0.3, rng.integers(90, size=200)
    p = (rng.random(200) + 0.5 * positive).round(1)  # with ties
    fast = bootstrap_auroc("auroc", p, positive, groups=groups, split="test")
    slow = bootstrap("auroc", lambda i: binary_auroc(p[i], positive[i]), groups=groups, split="test")
    assert fast.value == slow.value
    assert (fast.low, fast.high) == pytest.approx((slow.low, slow.high), abs=0.015)
    with pytest.raises(Undefined, match="examples of each class"):
        bootstrap_auroc("auroc", p, np.ones(200, bool), groups=groups, split="test")


def test_a_share_has_the_interval_of_its_mean() -> None:
    rng = np.random.default_rng(1)
    hits, among, groups = rng.random(300) < 0.7, rng.random(300) < 0.5, rng.integers(80, size=300)
    fast = bootstrap_fraction("ppv", hits, among, groups=groups, split="test")
    slow = bootstrap("ppv", lambda i: float(hits[i][among[i]].mean()), groups=groups, split="test")
    assert fast.value == slow.value
    assert (fast.low, fast.high) == pytest.approx((slow.low, slow.high), abs=0.02)
    assert fast.n == among.sum()
