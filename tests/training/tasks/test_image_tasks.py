"""Tests of the tasks of whole images: temperatures, thresholds and scores with answers known beforehand."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from training.tasks import TASKS
from training.tasks.image_tasks import Multiclass, Multilabel
from training.tasks.training_task import Decision


def test_temperature_undoes_overconfidence() -> None:
    """Logits that are three times those of the true probabilities: the fitted temperature is three."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 2)).astype(np.float32) * 2
    p = np.exp(logits[:, 1]) / np.exp(logits).sum(axis=1)
    truth = (rng.random(4000) < p).astype(np.int64)
    decision = TASKS["multiclass"].decide(list(3 * logits), list(truth))
    assert decision.temperature == pytest.approx(3, rel=0.1)
    assert decision.thresholds[1] == pytest.approx(0.5, abs=0.1)


def test_labels_are_calibrated_and_cut_where_their_f1_is_best() -> None:
    """Twice the logits of the true probabilities: temperature 2. A rare label's best F1 lies below one half."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 2)).astype(np.float32) + np.array([0.0, -2.5], np.float32)
    truth = (rng.random((4000, 2)) < 1 / (1 + np.exp(-logits))).astype(np.float32)
    decision = TASKS["multilabel"].decide(list(2 * logits), list(truth))
    assert decision.temperature == pytest.approx(2, rel=0.1)
    for label, cut in enumerate(decision.thresholds):
        p = 1 / (1 + np.exp(-2 * logits[:, label] / decision.temperature))
        scores = [f1_score(truth[:, label], p >= other) for other in np.linspace(0.02, 0.7, 50)]
        assert f1_score(truth[:, label], p >= cut) >= max(scores)
    assert decision.thresholds[1] < 0.35


def test_a_target_is_an_index_or_a_flag_a_label() -> None:
    assert Multiclass().target(np.uint8(2), 3) == 2
    assert Multiclass().target(np.uint8(2), 3).dtype == np.int64  # as cross-entropy takes it
    assert Multilabel().target(np.array([True, False]), 2).tolist() == [1, 0]
    assert Multilabel().target(np.array([True, False]), 2).dtype == np.float32


def test_three_classes_have_no_threshold_to_choose() -> None:
    logits = list(np.eye(3, dtype=np.float32)[[0, 1, 2, 0]])
    assert Multiclass().decide(logits, list(np.array([0, 1, 2, 1]))).thresholds == (0.5, 0.5, 0.5)


def test_scores_of_two_classes_use_the_threshold() -> None:
    """Of two diseased one reaches 0.3, of three healthy two stay below it; at one half no one would be diseased."""
    diseased = np.array([0.4, 0.2, 0.45, 0.1, 0.1], np.float32)
    probabilities, truths = np.stack([1 - diseased, diseased], axis=1), np.array([1, 1, 0, 0, 0])
    scores = Multiclass().scores(list(probabilities), list(truths), Decision(thresholds=(0.7, 0.3)))
    every = np.arange(5)
    found = {name: scores[name](every) for name in ("sensitivity", "specificity", "accuracy", "auroc")}
    assert found == pytest.approx({"sensitivity": 1 / 2, "specificity": 2 / 3, "accuracy": 3 / 5, "auroc": 4 / 6})
    assert scores["sensitivity"](every[[0, 3]]) == 1  # of the chosen examples alone
    three = Multiclass().scores([np.full(3, 1 / 3)], [np.int64(0)], Decision(thresholds=(0.5,) * 3))
    assert not {"sensitivity", "specificity"} & set(three)


def test_scores_of_labels_are_means_over_them() -> None:
    """The first label is told right of all four; the second of two, of which one is present."""
    probabilities = np.array([[0.9, 0.9], [0.9, 0.1], [0.1, 0.9], [0.1, 0.1]], np.float32)
    truths = np.array([[1, 1], [1, 1], [0, 0], [0, 0]], np.float32)
    scores = Multilabel().scores(list(probabilities), list(truths), Decision(thresholds=(0.5, 0.5)))
    found = {name: scores[name](np.arange(4)) for name in ("accuracy", "f1", "auroc")}
    assert found == pytest.approx({"accuracy": 6 / 8, "f1": (1 + 1 / 2) / 2, "auroc": (1 + 1 / 2) / 2})
