"""Classes of pixels: what each task's target, loss, decision and figures are, on masks of a few pixels."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from training import losses
from training.border_weight import border_weight
from training.config import TrainingConfig
from training.tasks.pixel_tasks import Boundaries, MultilabelSemantic, Semantic, label_cells, pack_bits
from training.tasks.training_task import Decision, calibrate

TRUTH = np.array([[0, 1, 3], [2, 0, 1]], np.int32)
CONFIG = TrainingConfig(epochs=1, batch_size=1, learning_rate=1)
EVERY = np.arange(1)


def test_bits_are_classes_that_overlap() -> None:
    """Of two classes: none, the first, both; the second, none, the first."""
    masks = MultilabelSemantic().class_masks(TRUTH, 2)
    np.testing.assert_array_equal(masks, [[[0, 1, 1], [0, 0, 1]], [[0, 0, 1], [1, 0, 0]]])
    np.testing.assert_array_equal(pack_bits(masks), TRUTH)
    np.testing.assert_array_equal(MultilabelSemantic().target(TRUTH, 2), masks.astype(np.float32))


def test_each_overlapping_class_has_its_threshold() -> None:
    """The first is said with 0.25 where it is and 0.05 elsewhere, the second with 0.95 and 0.75."""
    masks = MultilabelSemantic().class_masks(TRUTH, 2)
    p = np.where(masks, [[[0.25]], [[0.95]]], [[[0.05]], [[0.75]]])
    decision = MultilabelSemantic().decide([np.log(p / (1 - p))], [TRUTH])
    assert 0.05 < decision.thresholds[0] <= 0.25
    assert 0.75 < decision.thresholds[1] <= 0.95
    assert MultilabelSemantic().scores([p], [TRUTH], decision)["dice"](EVERY) == 1
    np.testing.assert_array_equal(pack_bits(MultilabelSemantic().predicted_masks(p, decision)), TRUTH)


def test_dice_is_the_mean_of_the_classes() -> None:
    """The first of three pixels is found and none made up: 2 / 4; the second is found, and two more: 2 * 2 / 6."""
    said = np.array([[[0, 1, 0], [0, 0, 0]], [[0, 1, 1], [1, 1, 0]]], np.float32)
    scores = MultilabelSemantic().scores([said], [TRUTH], Decision((0.5, 0.5)))
    assert scores["dice"](EVERY) == pytest.approx((2 / 4 + 4 / 6) / 2)
    assert scores["iou"](EVERY) == pytest.approx((1 / 3 + 2 / 4) / 2)


def test_the_background_has_no_figure() -> None:
    mask = np.array([[0, 0, 1, 2]], np.int32)
    perfect = Semantic().target(np.array([[0, 1, 1, 1]], np.int32), 3)
    scores = Semantic().scores([perfect], [mask], Decision((0.5,) * 3))
    assert scores["dice"](EVERY) == pytest.approx((2 / 4 + 0) / 2)


def test_borders_weigh_more() -> None:
    """U-Net's loss is the sum of (w_c + w_border) -log p over the pixels, here their mean."""
    truth = np.zeros((12, 12), np.int32)
    truth[:, :5] = truth[:, 7:] = 1
    target = Boundaries().target(truth, 2)
    assert target.shape == (3, 12, 12)
    np.testing.assert_array_equal(target[2], border_weight(label_cells(truth)))
    logits = torch.randn(1, 2, 12, 12)
    loss = Boundaries().loss(CONFIG.model_copy(update={"class_weights": "balanced"}), [truth])
    w_c = np.where(truth == 1, 144 / (2 * 120), 144 / (2 * 24))  # all pixels over classes times those of the class
    entropy = F.cross_entropy(logits, torch.from_numpy(truth).long()[None], reduction="none")[0]
    wanted = (torch.from_numpy(w_c + target[2]) * entropy).mean()
    torch.testing.assert_close(loss(logits, torch.from_numpy(target)[None]).double(), wanted)


def test_boundaries_have_the_figures_of_isbi() -> None:
    truth = np.ones((20, 20), np.int32)
    truth[:, 10] = 0
    p = Boundaries().class_masks(truth, 2).astype(np.float32)
    scores = Boundaries().scores([p], [truth], Decision((0.5, 0.5)))
    figures = {name: scores[name](EVERY) for name in scores}
    assert figures == {"dice": 1, "iou": 1, "v_rand": 1, "warping_error": 0, "pixel_error": 0}


def test_a_boundary_said_too_often_is_corrected_by_its_bias() -> None:
    """Two cells with a membrane; the logits also say membrane, less surely, all through the first cell."""
    truth = np.ones((24, 24), np.int32)
    truth[:, 12] = 0
    surely = np.where(truth == 0, 6.0, -2.0)
    surely[:, 1:11:3] = 1.0  # stripes, which cut it in pieces
    logits = np.stack([surely, np.zeros_like(surely)])
    decision = Boundaries().decide([logits], [truth])
    assert -6 < decision.bias[0] <= -1
    plain, corrected = (
        Boundaries().scores([z.softmax(dim=1)[0].numpy()], [truth], decision)["v_rand"](EVERY)
        for z in (
            torch.from_numpy(logits)[None],
            calibrate(torch.from_numpy(logits)[None], temperature=1.0, bias=decision.bias),
        )
    )
    assert corrected == 1 > plain


def test_cells_of_all_classes_are_numbered() -> None:
    assert label_cells(np.array([[1, 0, 1, 2], [0, 1, 1, 2]], np.int32)).tolist() == [[1, 0, 2, 3], [0, 2, 2, 3]]


def test_loss_of_overlapping_classes_falls_towards_the_truth() -> None:
    target = torch.from_numpy(MultilabelSemantic().target(TRUTH, 2))[None]
    loss = losses.DiceBinaryCrossEntropy()
    right, wrong = loss(20 * target - 10, target), loss(10 - 20 * target, target)
    assert right < 1e-3
    assert wrong > 10
