"""Figures whose values are known by counting."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from training.evaluation_metrics import (
    auroc,
    average_precision,
    bootstrap,
    dice,
    expected_calibration_error,
    iou,
    macro_f1,
)


def mask(text: str) -> np.ndarray:
    """ "110 / 000" -> an array of digits."""
    return np.array([[int(c) for c in row.strip()] for row in text.split("/")])


@pytest.mark.parametrize(
    ("predicted", "true", "wanted_dice", "wanted_iou"),
    [
        ("1100", "1100", 1.0, 1.0),
        ("1100", "0011", 0.0, 0.0),
        ("1100", "0110", 0.5, 1 / 3),
        ("0000", "0000", 1.0, 1.0),  # nothing there and nothing found
        ("1000", "0000", 0.0, 0.0),
    ],
)
def test_overlap(predicted: str, true: str, wanted_dice: float, wanted_iou: float) -> None:
    a, b = mask(predicted) > 0, mask(true) > 0
    assert dice(a, b) == pytest.approx(wanted_dice)
    assert iou(a, b) == pytest.approx(wanted_iou)


@pytest.mark.parametrize(
    ("predicted", "true", "wanted"),
    [
        ("1122", "1122", 1.0),
        ("2211", "1122", 1.0),  # numbers are only names
        ("1111", "1122", 0.0),  # IoU is exactly one half: not above it
        ("1110", "1111", 1.0),  # 3 / 4
        ("1122 / 0000", "1122 / 3333", 2 / 3),  # one missed
        ("1122 / 3333", "1122 / 0000", 2 / 3),  # one too many
        ("0000", "0000", 1.0),
        ("0000", "1100", 0.0),
    ],
)
def test_average_precision(predicted: str, true: str, wanted: float) -> None:
    assert average_precision(mask(predicted), mask(true)) == pytest.approx(wanted)


def test_numbers_may_have_gaps() -> None:
    assert average_precision(mask("5500"), mask("0900")) == 0.0
    assert average_precision(mask("5555"), mask("9990")) == 1.0


def test_auroc_and_f1_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    p, truth = rng.dirichlet(np.ones(4), 200).round(2), rng.integers(3, size=200)  # ties, and a class that never occurs
    assert np.isnan(auroc(p, truth))
    assert macro_f1(p, truth) == pytest.approx(f1_score(truth, p.argmax(axis=1), average="macro"))
    truth[:50] = 3
    wanted = roc_auc_score(truth, p / p.sum(axis=1, keepdims=True), multi_class="ovr")
    assert auroc(p / p.sum(axis=1, keepdims=True), truth) == pytest.approx(wanted)
    two = np.stack([1 - p[:, 0], p[:, 0]], axis=1)
    assert auroc(two, truth % 2) == pytest.approx(roc_auc_score(truth % 2, p[:, 0]))
    assert macro_f1(two, truth % 2) == pytest.approx(f1_score(truth % 2, two.argmax(axis=1)))


def test_calibration_error_is_the_gap() -> None:
    confidence = np.array([0.95] * 10 + [0.55] * 10)
    correct = np.array([True] * 10 + [True] * 5 + [False] * 5)
    assert expected_calibration_error(confidence, correct) == pytest.approx((0.05 + 0.05) / 2)


def test_bootstrap_of_a_mean_has_the_normal_interval() -> None:
    values = np.random.default_rng(0).normal(size=400)
    figure = bootstrap("mean", lambda i: float(values[i].mean()), groups=np.arange(400), split="test")
    assert figure.value == pytest.approx(values.mean())
    half = 1.96 * values.std() / 20
    assert (figure.low, figure.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)


def test_bootstrap_draws_groups_whole() -> None:
    """Two patients of one value each: every draw has a mean of 0, one half or 1; images alone would vary less."""
    values = np.repeat([0.0, 1.0], 50)
    figure = bootstrap("mean", lambda i: float(values[i].mean()), groups=np.repeat(["a", "b"], 50), split="test")
    assert (figure.low, figure.value, figure.high) == (0.0, 0.5, 1.0)
