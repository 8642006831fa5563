"""Losses against the papers' formulas, worked out by hand."""

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from tests.training.digits_recipe import DIGITS
from training import losses
from training.config import Recipe, TrainingConfig, read_recipe
from training.tasks import TASKS

CONFIG = {"epochs": 1, "batch_size": 1, "learning_rate": 1.0}


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def test_focal_loss_is_lins_formula() -> None:
    """Lin 2017: (1 - p)^2 makes an example of p = 0.9 count a hundredth, of p = 0.5 a quarter of its cross-entropy."""
    logits, target = torch.tensor([[0.0, logit(0.9)], [0.0, 0.0]]), torch.tensor([1, 0])
    wanted = (-0.01 * math.log(0.9) - 0.25 * math.log(0.5)) / 2
    assert losses.Focal(gamma=2)(logits, target).item() == pytest.approx(wanted)
    assert losses.Focal(gamma=0)(logits, target).item() == pytest.approx(F.cross_entropy(logits, target).item())
    weighted = (-3 * 0.01 * math.log(0.9) - 0.25 * math.log(0.5)) / 2
    assert losses.Focal(gamma=2, weights=(1.0, 3.0))(logits, target).item() == pytest.approx(weighted)


def test_binary_focal_loss_is_each_labels_own() -> None:
    logits, target = torch.tensor([[logit(0.9), logit(0.2)]]), torch.tensor([[1.0, 1.0]])
    wanted = (-0.01 * math.log(0.9) - 0.64 * math.log(0.2)) / 2
    assert losses.BinaryFocal(gamma=2)(logits, target).item() == pytest.approx(wanted)
    assert losses.BinaryFocal(gamma=2)(-logits, 1 - target).item() == pytest.approx(wanted)  # a label that is not there
    plain = F.binary_cross_entropy_with_logits(logits, target)
    assert losses.BinaryFocal(gamma=0)(logits, target).item() == pytest.approx(plain.item())


def test_the_published_weights_of_chexnet() -> None:
    """One in four has the first label, half the second: w+ = |N| / (|P| + |N|) = 3/4 and 1/2, w- = 1/4 and 1/2."""
    truths = [np.array(t, np.float32) for t in ([1, 1], [0, 1], [0, 0], [0, 0])]
    loss = TASKS["multilabel"].loss(TrainingConfig(**CONFIG, class_weights="balanced"), truths)
    logits, target = (
        torch.tensor([[logit(0.6), logit(0.3)], [logit(0.6), logit(0.3)]]),
        torch.tensor([[1.0, 0], [0, 1]]),
    )
    first = -3 / 4 * math.log(0.6) - 1 / 2 * math.log(0.7)
    second = -1 / 4 * math.log(0.4) - 1 / 2 * math.log(0.3)
    assert loss(logits, target).item() == pytest.approx((first + second) / 2)


def test_balanced_classes_weigh_alike() -> None:
    """Three of the first class and one of the second: 4 / (2 * 3) and 4 / (2 * 1)."""
    config = TrainingConfig(**CONFIG, class_weights="balanced")
    loss = TASKS["multiclass"].loss(config, [np.int64(c) for c in (0, 0, 1, 0)])
    assert loss.weights.tolist() == pytest.approx([2 / 3, 2])
    focal = TASKS["multiclass"].loss(
        config.model_copy(update={"focal_gamma": 2.0}), [np.int64(c) for c in (0, 0, 1, 0)]
    )
    assert isinstance(focal, losses.Focal)
    assert focal.weights.tolist() == pytest.approx([2 / 3, 2])


@pytest.mark.parametrize(
    ("table", "field", "value", "says"),
    [
        ("training", "focal_gamma", 2.0, "without label_smoothing"),
        ("augment", "stain", 0.05, "three channels"),
    ],
)
def test_options_that_contradict_one_another_are_refused(table: str, field: str, value: float, says: str) -> None:
    values = read_recipe(DIGITS).model_dump(mode="json")
    values["training"]["label_smoothing"] = 0.1
    values[table][field] = value
    with pytest.raises(ValidationError, match=says):
        Recipe.model_validate(values)


def test_class_weights_scale_their_class() -> None:
    logits, target = torch.zeros(2, 2), torch.tensor([0, 1])
    each = torch.nn.functional.cross_entropy(logits, target, reduction="none")
    weighted = losses.CrossEntropy(weights=(1.0, 3.0))(logits, target)
    assert weighted == pytest.approx(float((each * torch.tensor([1.0, 3.0])).sum() / 4))
