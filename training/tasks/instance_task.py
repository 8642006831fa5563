"""Instance segmentation as a training task: separate objects of one class, which may touch."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from scipy import ndimage

from models.image import Array
from models.objects import grow
from training import evaluation_metrics as metrics
from training import losses
from training.tasks.training_task import Decision, Score, mean_score

CROWDED_WEIGHT = 6.0  # of a pixel between two objects, in the loss


class Instance:
    """Separate objects of one class; the truth is (H, W) of object numbers, 0 for background."""

    activation: Literal["softmax", "sigmoid"] = "sigmoid"
    auxiliary: tuple[str, ...] = ("core",)
    headline = "ap50"
    loss = staticmethod(losses.instance_loss)

    def target(self, truth: Array, classes: int) -> Array:
        weight = np.where(crowded_pixels(truth), CROWDED_WEIGHT, 1.0)
        return np.stack([truth > 0, core_map(truth), weight]).astype(np.float32)  # (3, H, W)

    def decide(self, logits: Sequence[Array], truths: Sequence[Array]) -> Decision:
        """Chooses thresholds and smallest area by coordinate search: the best mean AP@0.5."""
        maps = [1 / (1 + np.exp(-z)) for z in logits]
        best = Decision(thresholds=(0.5,))
        grid: tuple[tuple[str, tuple[Any, ...]], ...] = (
            ("seed_threshold", (0.3, 0.4, 0.5, 0.6, 0.7)),
            ("thresholds", ((0.35,), (0.4,), (0.45,), (0.5,), (0.55,), (0.6,))),
            ("min_area_px", (5, 10, 15, 20, 30)),
            ("seed_threshold", (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)),
        )
        for field, values in grid:
            candidates = [replace(best, **{field: value}) for value in values]
            best = max(candidates, key=lambda decision: np.mean([_ap(m, t, decision) for m, t in zip(maps, truths)]))
        return best

    def scores(self, probabilities: Sequence[Array], truths: Sequence[Array], decision: Decision) -> dict[str, Score]:
        threshold = decision.thresholds[0]
        pairs = [(p[0] >= threshold, t > 0) for p, t in zip(probabilities, truths)]
        per_image = {"ap50": [_ap(p, t, decision) for p, t in zip(probabilities, truths)]}
        per_image |= {name: [score(p, t) for p, t in pairs] for name, score in metrics.MASK_SCORES.items()}
        return {name: mean_score(values) for name, values in per_image.items()}


def core_map(objects: Array) -> Array:
    """Returns each pixel's distance to its object's outline, divided by the object's largest: (H, W) float32.

    objects: (H, W) object numbers. The map is 1 in the middle of an object and 0 at its outline, also where the object
    touches another. So each object has one peak, whatever its size.
    """
    distance = np.zeros(objects.shape, dtype=np.float32)
    for number, window in enumerate(ndimage.find_objects(objects), start=1):
        if window is not None:
            inside = np.pad(objects[window] == number, 1)
            depth = ndimage.distance_transform_edt(inside)[1:-1, 1:-1]
            distance[window] += depth / depth.max()
    return distance


def crowded_pixels(objects: Array, *, window: int = 5) -> Array:
    """Marks pixels (H, W) with two objects within window / 2 px, where one wrong pixel can join them."""
    nearest = ndimage.maximum_filter(objects, window)
    lowest = ndimage.minimum_filter(np.where(objects > 0, objects, objects.max() + 1), window)
    crowded: Array = (nearest > 0) & (lowest < nearest)
    return crowded


def separate_objects(maps: Array, decision: Decision) -> Array:
    """Separates objects: foreground and core maps (2, H, W) in [0, 1] -> (H, W) int32 object numbers, 0 background."""
    return grow(
        maps[0],
        maps[1],
        threshold=decision.thresholds[0],
        seed_threshold=decision.seed_threshold,
        min_area_px=decision.min_area_px,
    )


def _ap(maps: Array, truth: Array, decision: Decision) -> float:
    return metrics.average_precision(separate_objects(maps, decision), truth)
