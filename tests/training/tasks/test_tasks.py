"""Tests of what the losses of all tasks have in common: small for the truth alone."""

import numpy as np
import pytest
import torch

from training.config import TrainingConfig
from training.tasks import TASKS


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


CONFIG = TrainingConfig(epochs=1, batch_size=1, learning_rate=1.0)
