"""Tasks whose truth is classes of pixels: that exclude one another, that overlap, that a thin boundary tells apart."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy import ndimage
from torch import nn

from models.image import Array
from training import boundaries, losses, metrics
from training.config import TrainingConfig
from training.task import Decision, Score, mean_of
from training.weight_map import border_weight

BIASES = tuple(0.5 * n for n in range(-8, 9))
THRESHOLDS = tuple(round(0.1 * n, 1) for n in range(1, 10))


class Semantic:
    """One class a pixel; truth is (H, W) of class indices, and class 0 is the background."""

    activation: Literal["softmax", "sigmoid"] = "softmax"
    auxiliary: tuple[str, ...] = ()
    headline = "dice"
    first = 1  # class of which there are figures

    def target(self, truth: Array, classes: int) -> Array:
        return self.layers(truth, classes).astype(np.float32)  # (C, H, W)

    def layers(self, truth: Array, classes: int) -> Array:
        """(H, W) -> (C, H, W) bool: where each class is."""
        return np.arange(classes)[:, None, None] == truth

    def answer(self, probabilities: Array, decision: Decision) -> Array:
        """(C, H, W) -> (C, H, W) bool: where each class is said to be."""
        return self.layers(probabilities.argmax(axis=0), len(probabilities))

    def loss(self, config: TrainingConfig, truths: Sequence[Array]) -> nn.Module:
        return losses.DiceCrossEntropy(weights=config.class_weights)

    def decide(self, logits: Sequence[Array], truths: Sequence[Array]) -> Decision:
        return Decision(thresholds=(0.5,) * len(logits[0]))

    def scores(self, probabilities: Sequence[Array], truths: Sequence[Array], decision: Decision) -> dict[str, Score]:
        dice, iou = (
            self.by_class(of, probabilities, truths, decision).mean(axis=1) for of in (metrics.dice, metrics.iou)
        )
        return {"dice": mean_of(dice), "iou": mean_of(iou)}

    def by_class(
        self, figure: metrics.OfMasks, probabilities: Sequence[Array], truths: Sequence[Array], decision: Decision
    ) -> Array:
        """(n, classes from `first` on): the figure of each image and class."""
        pairs = [(self.answer(p, decision), self.layers(t, len(p))) for p, t in zip(probabilities, truths)]
        return np.array([[figure(a, b) for a, b in list(zip(said, true))[self.first :]] for said, true in pairs])


class MultilabelSemantic(Semantic):
    """Any of several classes a pixel; truth is (H, W) of bits: bit c is set where class c is."""

    activation: Literal["softmax", "sigmoid"] = "sigmoid"
    first = 0

    def layers(self, truth: Array, classes: int) -> Array:
        return truth >> np.arange(classes)[:, None, None] & 1 > 0

    def answer(self, probabilities: Array, decision: Decision) -> Array:
        return probabilities >= np.array(decision.thresholds)[:, None, None]

    def loss(self, config: TrainingConfig, truths: Sequence[Array]) -> nn.Module:
        return losses.DiceBinaryCrossEntropy(weights=config.class_weights)

    def decide(self, logits: Sequence[Array], truths: Sequence[Array]) -> Decision:
        """Each class's threshold with the best mean Dice."""
        maps = [1 / (1 + np.exp(-z)) for z in logits]
        tried = [Decision(thresholds=(cut,) * len(maps[0])) for cut in THRESHOLDS]
        dice = [self.by_class(metrics.dice, maps, truths, decision).mean(axis=0) for decision in tried]  # (C,) each
        return Decision(thresholds=tuple(THRESHOLDS[i] for i in np.argmax(dice, axis=0)))


class Boundaries(Semantic):
    """Regions separated by a thin class 0, such as a membrane: U-Net's weighted loss, the ISBI 2012 figures.

    The headline stays Dice: V-rand jumps where one pixel joins two cells, until the boundary's bias is chosen.
    """

    def target(self, truth: Array, classes: int) -> Array:
        """(C + 1, H, W): the last is the weight of the border (Ronneberger 2015), without that of the class."""
        return np.concatenate([super().target(truth, classes), border_weight(cells(truth))[None]])

    def loss(self, config: TrainingConfig, truths: Sequence[Array]) -> nn.Module:
        """class_weights "balanced": w_c, all pixels over those of the class, so that the classes weigh alike."""
        weights = config.class_weights
        if weights == "balanced":
            counts = sum(np.bincount(truth.ravel(), minlength=max(t.max() for t in truths) + 1) for truth in truths)
            weights = tuple((counts.sum() / (len(counts) * counts)).tolist())
        return losses.BorderCrossEntropy(weights=weights)

    def decide(self, logits: Sequence[Array], truths: Sequence[Array]) -> Decision:
        """The boundary's bias with the best mean V-rand: its weight in the loss makes it be seen too often."""

        def mean_v_rand(boundary: float) -> float:
            shift = np.eye(1, len(logits[0]))[0] * boundary  # (C,): of class 0 alone
            said = [(z + shift[:, None, None]).argmax(axis=0) > 0 for z in logits]
            return float(np.mean([boundaries.v_rand(*pair) for pair in zip(said, (t > 0 for t in truths))]))

        bias = max(BIASES, key=mean_v_rand)
        return Decision(thresholds=(0.5,) * len(logits[0]), bias=(bias, *(0.0,) * (len(logits[0]) - 1)))

    def scores(self, probabilities: Sequence[Array], truths: Sequence[Array], decision: Decision) -> dict[str, Score]:
        pairs = [(p.argmax(axis=0) > 0, truth > 0) for p, truth in zip(probabilities, truths)]
        return super().scores(probabilities, truths, decision) | {
            "v_rand": mean_of([boundaries.v_rand(*pair) for pair in pairs]),
            "warping_error": mean_of([boundaries.warping_error(*pair) for pair in pairs]),
            "pixel_error": mean_of([boundaries.pixel_error(*pair) for pair in pairs]),
        }


def packed(layers: Array) -> Array:
    """(C, H, W) bool -> (H, W) int32 of bits, as MultilabelSemantic has them."""
    return (layers.astype(np.int32) << np.arange(len(layers))[:, None, None]).sum(axis=0, dtype=np.int32)


def cells(truth: Array) -> Array:
    """(H, W) class indices -> (H, W) int32: the number of each 4-connected region of a class, 0 for class 0."""
    numbers = np.zeros(truth.shape, np.int32)
    for index in range(1, int(truth.max()) + 1):
        labels, _ = ndimage.label(truth == index)
        numbers += np.where(labels > 0, labels + numbers.max(), 0).astype(np.int32)
    return numbers
