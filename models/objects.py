"""Object separation: probability maps -> objects, by the same code in training and in the service."""

from typing import TypedDict

import numpy as np
from scipy import ndimage
from skimage.segmentation import watershed

from models.image import Array
from models.spec import ModelSpec


class GrowthLimits(TypedDict):
    """See grow."""

    threshold: float
    seed_threshold: float
    min_area_px: int


def separate(probabilities: Array, spec: ModelSpec) -> Array:
    """Separates objects by `spec.objects`: (C, H, W) float32 in [0, 1] -> (H, W) int32, 0 background, 1 ... n."""
    foreground, height, limits = maps_of(probabilities, spec)
    return grow(foreground, height, **limits)


def maps_of(probabilities: Array, spec: ModelSpec) -> tuple[Array, Array, GrowthLimits]:
    """Returns what `spec.objects` has grow: two maps of (C, H, W) float32, and its limits."""
    if spec.objects is None:
        raise ValueError(f"{spec.name} does not separate objects")
    names, objects = spec.channel_names, spec.objects
    index = names.index(objects.foreground)
    limits = GrowthLimits(
        threshold=spec.classes[index].threshold,
        seed_threshold=objects.seed_threshold,
        min_area_px=objects.min_area_px,
    )
    return probabilities[index], probabilities[names.index(objects.seeds)], limits


def grow(foreground: Array, height: Array, *, threshold: float, seed_threshold: float, min_area_px: int) -> Array:
    """Grows seeds: two maps (H, W) float32 in [0, 1] -> (H, W) int32, 0 background, 1 ... n objects.

    Seeded watershed (Meyer 1994): connected pixels where height reaches seed_threshold are the seeds, and grow down the
    height over the pixels where foreground reaches threshold. A region that no seed reached is an object too; objects
    of fewer than min_area_px pixels are dropped.
    """
    mask = foreground >= threshold
    seeds, count = ndimage.label((height >= seed_threshold) & mask)
    regions, _ = ndimage.label(mask)
    reached = np.zeros(regions.max() + 1, dtype=bool)
    reached[regions[seeds > 0]] = True
    seeds = np.where(reached[regions] | ~mask, seeds, regions + count)
    return without_small(watershed(-height, seeds, mask=mask), minimum=min_area_px)


def without_small(labels: Array, *, minimum: int) -> Array:
    """Drops the objects of fewer than `minimum` pixels: (H, W) int -> (H, W) int32, renumbered 1 ... n."""
    keep = np.bincount(labels.ravel()) >= minimum
    keep[0] = False
    return (keep.cumsum() * keep).astype(np.int32)[labels]
