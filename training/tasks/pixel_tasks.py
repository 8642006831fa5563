"""Tasks whose truth is a class for each pixel: exclusive, overlapping, or separated by a thin boundary."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy import ndimage

from models.image import Array
from training import boundary_metrics, losses
from training import evaluation_metrics as metrics
from training.border_weight import border_weight
from training.tasks.training_task import Decision, Score, mean_score

BIASES = tuple(0.5 * n for n in range(-8, 9))
THRESHOLDS = tuple(round(0.1 * n, 1) for n in range(1, 10))


class Semantic:
    """One class per pixel; the truth is (H, W) of class indices, and class 0 is the background."""

    activation: Literal["softmax", "sigmoid"] = "softmax"
    auxiliary: tuple[str, ...] = ()
    headline = "dice"
    loss = staticmethod(losses.semantic_loss)
    first_scored_class = 1  # the background has no score

    def target(self, truth: Array, classes: int) -> Array:
        return self.class_masks(truth, classes).astype(np.float32)  # (C, H, W)

    def class_masks(self, truth: Array, classes: int) -> Array:
        """Splits a truth (H, W) into the mask of each class, (C, H, W) bool."""
        masks: Array = np.arange(classes)[:, None, None] == truth
        return masks

    def predicted_masks(self, probabilities: Array, decision: Decision) -> Array:
        """Turns probabilities (C, H, W) into the predicted mask of each class, (C, H, W) bool."""
        return self.class_masks(probabilities.argmax(axis=0), len(probabilities))

    def decide(self, logits: Sequence[Array], truths: Sequence[Array]) -> Decision:
        return Decision(thresholds=(0.5,) * len(logits[0]))

    def scores(self, probabilities: Sequence[Array], truths: Sequence[Array], decision: Decision) -> dict[str, Score]:
        return {
            name: mean_score(self.class_scores(score, probabilities, truths, decision).mean(axis=1))
            for name, score in metrics.MASK_SCORES.items()
        }

    def class_scores(
        self, score: metrics.MaskScore, probabilities: Sequence[Array], truths: Sequence[Array], decision: Decision
    ) -> Array:
        """Scores each image and class, from `first_scored_class` on: (n, classes)."""
        pairs = [
            (self.predicted_masks(p, decision), self.class_masks(t, len(p))) for p, t in zip(probabilities, truths)
        ]
        first = self.first_scored_class
        return np.array([[score(a, b) for a, b in zip(predicted[first:], true[first:])] for predicted, true in pairs])


class MultilabelSemantic(Semantic):
    """Any number of classes per pixel; the truth is (H, W) of bits, bit c set where class c is present."""

    activation: Literal["softmax", "sigmoid"] = "sigmoid"
    loss = staticmethod(losses.multilabel_semantic_loss)
    first_scored_class = 0

    def class_masks(self, truth: Array, classes: int) -> Array:
        return truth >> np.arange(classes)[:, None, None] & 1 > 0

    def predicted_masks(self, probabilities: Array, decision: Decision) -> Array:
        return probabilities >= np.array(decision.thresholds)[:, None, None]

    def decide(self, logits: Sequence[Array], truths: Sequence[Array]) -> Decision:
        """Chooses each class's threshold by its mean Dice."""
        maps = [1 / (1 + np.exp(-z)) for z in logits]
        candidates = [Decision(thresholds=(threshold,) * len(maps[0])) for threshold in THRESHOLDS]
        dice = [
            self.class_scores(metrics.dice, maps, truths, decision).mean(axis=0) for decision in candidates
        ]  # (C,) each
        return Decision(thresholds=tuple(THRESHOLDS[i] for i in np.argmax(dice, axis=0)))


class Boundaries(Semantic):
    """Regions separated by a thin class 0, such as a membrane: U-Net's weighted loss, the ISBI 2012 figures.

    The headline is Dice: until the boundary's bias is chosen, V-rand jumps where a single pixel joins two cells.
    """

    loss = staticmethod(losses.boundaries_loss)

    def target(self, truth: Array, classes: int) -> Array:
        """Returns (C + 1, H, W): a mask for each class, then the border weight without w_c (Ronneberger 2015)."""
        return np.concatenate([super().target(truth, classes), border_weight(label_cells(truth))[None]])

    def decide(self, logits: Sequence[Array], truths: Sequence[Array]) -> Decision:
        """Chooses the boundary's bias by mean V-rand: the border weight makes the network predict it too often."""

        def mean_v_rand(boundary: float) -> float:
            shift = np.eye(1, len(logits[0]))[0] * boundary  # (C,): of class 0 alone
            predicted = [(z + shift[:, None, None]).argmax(axis=0) > 0 for z in logits]
            return float(np.mean([boundary_metrics.v_rand(*pair) for pair in zip(predicted, (t > 0 for t in truths))]))

        bias = max(BIASES, key=mean_v_rand)
        return Decision(thresholds=(0.5,) * len(logits[0]), bias=(bias, *(0.0,) * (len(logits[0]) - 1)))

    def scores(self, probabilities: Sequence[Array], truths: Sequence[Array], decision: Decision) -> dict[str, Score]:
        pairs = [(p.argmax(axis=0) > 0, truth > 0) for p, truth in zip(probabilities, truths)]
        return super().scores(probabilities, truths, decision) | {
            "v_rand": mean_score([boundary_metrics.v_rand(*pair) for pair in pairs]),
            "warping_error": mean_score([boundary_metrics.warping_error(*pair) for pair in pairs]),
            "pixel_error": mean_score([boundary_metrics.pixel_error(*pair) for pair in pairs]),
        }


def pack_bits(masks: Array) -> Array:
    """Packs class masks (C, H, W) bool into bits (H, W) int32, the truth of MultilabelSemantic."""
    bits = masks.astype(np.int32) << np.arange(len(masks))[:, None, None]
    packed: Array = bits.sum(axis=0, dtype=np.int32)
    return packed


def label_cells(truth: Array) -> Array:
    """Numbers the 4-connected regions of each class but 0: class indices (H, W) -> (H, W) int32."""
    numbers = np.zeros(truth.shape, np.int32)
    for index in range(1, int(truth.max()) + 1):
        labels, _ = ndimage.label(truth == index)
        numbers += np.where(labels > 0, labels + numbers.max(), 0).astype(np.int32)
    return numbers
