"""Targets, losses and decisions with answers known beforehand."""

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from training import losses
from training.calibration import best_f1_threshold
from training.config import TrainingConfig
from training.tasks import TASKS
from training.tasks.instance_task import core_map, crowded_pixels, separate_objects
from training.tasks.training_task import Decision


def test_core_peaks_once_an_object_and_falls_to_its_outline() -> None:
    objects = np.zeros((9, 14), np.int32)
    objects[1:8, 0:7], objects[1:8, 7:14] = 1, 2  # two squares that touch
    height = core_map(objects)
    assert height[4, 3] == height[4, 10] == 1
    assert height[4, 6] == height[4, 7] == 0.25  # 1 / 4: the first pixel inside, where they touch too
    assert (height[objects == 0] == 0).all()


def test_core_of_a_single_pixel_is_one() -> None:
    assert core_map(np.array([[0, 1, 0]], np.int32)).tolist() == [[0, 1, 0]]


def test_what_lies_between_two_objects_is_crowded() -> None:
    objects = np.zeros((5, 16), np.int32)
    objects[:, :4], objects[:, 5:8], objects[:, 14:] = 1, 2, 3
    assert np.flatnonzero(crowded_pixels(objects)[2]).tolist() == [3, 4, 5]  # not the gap of 6 px to the third


def test_true_maps_give_back_the_objects() -> None:
    objects = np.zeros((40, 60), np.int32)
    y, x = np.mgrid[:40, :60]
    for number, centre in enumerate([18, 34], start=1):
        objects[((y - 20) ** 2 + (x - centre) ** 2 < 81) & (objects == 0)] = number
    found = separate_objects(TASKS["instance"].target(objects, 1), Decision(thresholds=(0.5,)))
    assert found.max() == 2
    assert ((found > 0) == (objects > 0)).all()


@pytest.mark.parametrize(
    ("task", "truth", "classes", "good", "bad"),
    [
        ("multiclass", np.int64(1), 3, [-9.0, 9.0, -9.0], [9.0, -9.0, -9.0]),
        ("multilabel", np.array([1, 0], np.float32), 2, [9.0, -9.0], [-9.0, 9.0]),
    ],
)
def test_loss_is_small_for_the_truth_alone(task: str, truth: np.ndarray, classes: int, good: list, bad: list) -> None:
    target = torch.as_tensor(TASKS[task].target(truth, classes))[None]
    loss = TASKS[task].loss(CONFIG, [])
    assert loss(torch.tensor([good]), target) < 1e-3
    assert loss(torch.tensor([bad]), target) > 5


@pytest.mark.parametrize("task", ["semantic", "instance"])
def test_mask_loss_is_small_for_the_truth_alone(task: str) -> None:
    truth = np.zeros((16, 16), np.int32)
    truth[4:12, 4:12] = 1
    target = torch.from_numpy(TASKS[task].target(truth, 2))[None]
    loss = TASKS[task].loss(CONFIG, [])
    maps = target[:, :2]  # of objects, the third is a weight
    right = loss(torch.logit(maps.clamp(1e-4, 1 - 1e-4)), target)
    wrong = loss(torch.logit((1 - maps).clamp(1e-4, 1 - 1e-4)), target)
    assert right < wrong / 5


def test_class_weights_scale_their_class() -> None:
    logits, target = torch.zeros(2, 2), torch.tensor([0, 1])
    each = torch.nn.functional.cross_entropy(logits, target, reduction="none")
    weighted = losses.CrossEntropy(weights=(1.0, 3.0))(logits, target)
    assert weighted == pytest.approx(float((each * torch.tensor([1.0, 3.0])).sum() / 4))


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


CONFIG = TrainingConfig(epochs=1, batch_size=1, learning_rate=1.0)
