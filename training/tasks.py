"""What a recipe's `task` means: its target, its loss, its scores, and what is chosen on the validation split."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from scipy import ndimage
from torch import nn

from models.image import Array
from models.objects import grow
from training import losses, metrics
from training.calibration import best_f1_threshold, fitted_temperature, youden_threshold
from training.config import TrainingConfig
from training.regions import Boundaries, MultilabelSemantic, Semantic
from training.task import Decision, Score, Task, mean_of

CROWDED_WEIGHT = 6.0  # of a pixel between two objects, in the loss


class Multiclass:
    """One class an image; truth is its index."""

    activation: Literal["softmax", "sigmoid"] = "softmax"
    auxiliary: tuple[str, ...] = ()
    headline = "auroc"

    def target(self, truth: Array, classes: int) -> Array:
        return truth.astype(np.int64)

    def loss(self, config: TrainingConfig, truths: Sequence[Array]) -> nn.Module:
        """class_weights "balanced": all images over those of the class, so that the classes weigh alike."""
        weights = config.class_weights
        if weights == "balanced":
            counts = np.bincount(truths)
            weights = tuple((len(truths) / (len(counts) * counts)).tolist())
        if config.focal_gamma:
            return losses.Focal(gamma=config.focal_gamma, weights=weights)
        return losses.CrossEntropy(weights=weights, smoothing=config.label_smoothing)

    def decide(self, logits: Sequence[Array], truths: Sequence[Array]) -> Decision:
        """Temperature by the validation likelihood; for two classes the threshold of Youden's J (1950)."""
        z, truth = torch.from_numpy(np.stack(logits)), torch.from_numpy(np.stack(truths))
        temperature = fitted_temperature(lambda t: nn.functional.cross_entropy(z / t, truth).item())
        if z.shape[1] != 2:
            return Decision(thresholds=(0.5,) * z.shape[1], temperature=temperature)
        cut = youden_threshold((z / temperature).softmax(dim=1)[:, 1].numpy(), truth.numpy() == 1)
        return Decision(thresholds=(1 - cut, cut), temperature=temperature)

    def scores(self, probabilities: Sequence[Array], truths: Sequence[Array], decision: Decision) -> dict[str, Score]:
        p, truth = np.stack(probabilities), np.stack(truths)
        confidence, correct = p.max(axis=1), p.argmax(axis=1) == truth
        scores: dict[str, Score] = {
            "accuracy": lambda i: metrics.accuracy(p[i], truth[i]),
            "auroc": lambda i: metrics.auroc(p[i], truth[i]),
            "f1": lambda i: metrics.macro_f1(p[i], truth[i]),
            "ece": lambda i: metrics.expected_calibration_error(confidence[i], correct[i]),
        }
        if p.shape[1] == 2:
            positive = p[:, 1] >= decision.thresholds[1]
            scores["sensitivity"] = lambda i: metrics.share(positive[i][truth[i] == 1])
            scores["specificity"] = lambda i: metrics.share(~positive[i][truth[i] == 0])
        return scores


class Multilabel:
    """Any of several labels an image; truth is (C,) of 0 and 1."""

    activation: Literal["softmax", "sigmoid"] = "sigmoid"
    auxiliary: tuple[str, ...] = ()
    headline = "auroc"

    def target(self, truth: Array, classes: int) -> Array:
        return truth.astype(np.float32)

    def loss(self, config: TrainingConfig, truths: Sequence[Array]) -> nn.Module:
        """class_weights "balanced": CheXNet's, by each label's share."""
        weights = config.class_weights
        if weights == "balanced":
            return losses.BalancedBinaryCrossEntropy(share=tuple(np.mean(truths, axis=0).tolist()))
        if config.focal_gamma:
            return losses.BinaryFocal(gamma=config.focal_gamma, weights=weights)
        return losses.BinaryCrossEntropy(weights=weights)

    def decide(self, logits: Sequence[Array], truths: Sequence[Array]) -> Decision:
        """Temperature by the validation likelihood; each label's threshold where its F1 is best (Rajpurkar 2017)."""
        z, truth = torch.from_numpy(np.stack(logits)), torch.from_numpy(np.stack(truths).astype(np.float32))
        loss = nn.functional.binary_cross_entropy_with_logits
        temperature = fitted_temperature(lambda t: loss(z / t, truth).item())
        p = (z / temperature).sigmoid().numpy()
        cuts = tuple(best_f1_threshold(p[:, c], truth[:, c].numpy() > 0.5) for c in range(p.shape[1]))
        return Decision(thresholds=cuts, temperature=temperature)

    def scores(self, probabilities: Sequence[Array], truths: Sequence[Array], decision: Decision) -> dict[str, Score]:
        p, there = np.stack(probabilities), np.stack(truths) > 0.5
        decided = p >= np.array(decision.thresholds)
        return {
            "auroc": lambda i: float(metrics.aurocs(p[i], there[i]).mean()),
            "accuracy": lambda i: float((decided[i] == there[i]).mean()),
            "ece": lambda i: metrics.expected_calibration_error(p[i].ravel(), there[i].ravel()),
            "f1": lambda i: float(np.mean([metrics.f1(decided[i, c], there[i, c]) for c in range(p.shape[1])])),
        }


class Instance:
    """Separate objects of one class; truth is (H, W) of object numbers, 0 for background."""

    activation: Literal["softmax", "sigmoid"] = "sigmoid"
    auxiliary: tuple[str, ...] = ("core",)
    headline = "ap50"

    def target(self, truth: Array, classes: int) -> Array:
        weight = np.where(crowded(truth), CROWDED_WEIGHT, 1.0)
        return np.stack([truth > 0, core(truth), weight]).astype(np.float32)  # (3, H, W)

    def loss(self, config: TrainingConfig, truths: Sequence[Array]) -> nn.Module:
        return losses.ObjectMaps()

    def decide(self, logits: Sequence[Array], truths: Sequence[Array]) -> Decision:
        """The thresholds and smallest area of a small grid with the best mean AP@0.5."""
        maps = [1 / (1 + np.exp(-z)) for z in logits]
        best = Decision(thresholds=(0.5,))
        for field, values in (
            ("seed_threshold", (0.3, 0.4, 0.5, 0.6, 0.7)),
            ("thresholds", ((0.35,), (0.4,), (0.45,), (0.5,), (0.55,), (0.6,))),
            ("min_area_px", (5, 10, 15, 20, 30)),
            ("seed_threshold", (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)),
        ):
            tried = [replace(best, **{field: value}) for value in values]
            best = max(tried, key=lambda decision: np.mean([_ap(m, t, decision) for m, t in zip(maps, truths)]))
        return best

    def scores(self, probabilities: Sequence[Array], truths: Sequence[Array], decision: Decision) -> dict[str, Score]:
        cut = decision.thresholds[0]
        pairs = [(p[0] >= cut, t > 0) for p, t in zip(probabilities, truths)]
        per_image = {
            "ap50": [_ap(p, t, decision) for p, t in zip(probabilities, truths)],
            "dice": [metrics.dice(p, t) for p, t in pairs],
            "iou": [metrics.iou(p, t) for p, t in pairs],
        }
        return {name: mean_of(values) for name, values in per_image.items()}


def core(objects: Array) -> Array:
    """(H, W) object numbers -> (H, W) float32: each pixel's distance to its object's outline over the largest.

    It is 1 in the middle of an object and falls to 0 at its outline, also where it touches another; so it peaks once an
    object, whatever the object's size.
    """
    distance = np.zeros(objects.shape, dtype=np.float32)
    for number, window in enumerate(ndimage.find_objects(objects), start=1):
        if window is not None:
            inside = np.pad(objects[window] == number, 1)
            depth = ndimage.distance_transform_edt(inside)[1:-1, 1:-1]
            distance[window] += depth / depth.max()
    return distance


def crowded(objects: Array, *, window: int = 5) -> Array:
    """(H, W) object numbers -> (H, W) bool: two objects within window / 2 px, where one mistaken pixel joins them."""
    nearest = ndimage.maximum_filter(objects, window)
    lowest = ndimage.minimum_filter(np.where(objects > 0, objects, objects.max() + 1), window)
    return (nearest > 0) & (lowest < nearest)


def separated(maps: Array, decision: Decision) -> Array:
    """Foreground and core maps (2, H, W) in [0, 1] -> (H, W) int32 object numbers, 0 for background."""
    return grow(
        maps[0],
        maps[1],
        threshold=decision.thresholds[0],
        seed_threshold=decision.seed_threshold,
        min_area_px=decision.min_area_px,
    )


def _ap(maps: Array, truth: Array, decision: Decision) -> float:
    return metrics.average_precision(separated(maps, decision), truth)


TASKS: dict[str, Task] = {
    "multiclass": Multiclass(),
    "multilabel": Multilabel(),
    "semantic": Semantic(),
    "multilabel_semantic": MultilabelSemantic(),
    "boundaries": Boundaries(),
    "instance": Instance(),
}
