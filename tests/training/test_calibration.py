"""Tests of calibration: the temperature of the smallest loss, and thresholds worked out by hand."""

import math

import numpy as np
import pytest

from training.calibration import best_f1_threshold, fit_temperature, youden_threshold


@pytest.mark.parametrize(
    ("p", "positive", "wanted"),
    [
        ([0.9, 0.5, 0.1], [1, 1, 0], 0.3),  # between what is there and what is not
        ([0.9, 0.5, 0.5], [1, 0, 0], 0.7),
        ([0.4, 0.4, 0.2], [1, 0, 1], 0.1),  # equal probabilities are on one side
        ([0.4, 0.2], [0, 0], 0.5),
    ],
)
def test_the_threshold_of_the_best_f1(p: list[float], positive: list[int], wanted: float) -> None:
    assert best_f1_threshold(np.array(p), np.array(positive, bool)) == pytest.approx(wanted)


@pytest.mark.parametrize("best", [0.1, 1.0, 3.0, 15.0])
def test_the_temperature_has_the_smallest_loss(best: float) -> None:
    assert fit_temperature(lambda t: abs(math.log(t / best))) == pytest.approx(best, rel=1e-3)


@pytest.mark.parametrize(("slope", "end"), [(1.0, math.exp(-3)), (-1.0, math.exp(3))])
def test_a_temperature_stays_within_its_bounds(slope: float, end: float) -> None:
    assert fit_temperature(lambda t: slope * t) == pytest.approx(end, rel=1e-3)


@pytest.mark.parametrize(
    ("p", "positive", "wanted"),
    [
        ([0.1, 0.2, 0.7, 0.8], [0, 0, 1, 1], 0.7),  # all of both are right
        ([0.1, 0.4, 0.3, 0.8], [0, 0, 1, 1], 0.8),  # 1/2 + 1 at 0.8, as at 0.3: the higher
        ([0.1, 0.2, 0.3, 0.9], [1, 0, 1, 1], 0.3),  # 2/3 + 1
        ([0.9, 0.1], [0, 1], 1.0),  # nothing is better than calling none positive
    ],
)
def test_youdens_threshold_has_the_highest_sum_of_sensitivity_and_specificity(
    p: list[float], positive: list[int], wanted: float
) -> None:
    assert youden_threshold(np.array(p), np.array(positive, bool)) == pytest.approx(wanted)
