"""From probability maps to separate objects: the same code scores a network in training and answers in the service."""

import numpy as np
from scipy import ndimage
from skimage.segmentation import watershed

from models.image import Array
from models.spec import ModelSpec


def separate(probabilities: Array, spec: ModelSpec) -> Array:
    """(C, H, W) float32 in [0, 1] -> (H, W) int32: 0 is background, objects are 1 ... n from the top down.

    Seeded watershed (Meyer 1994) as `spec.objects` says. A foreground region that no seed reached is an object too.
    """
    if spec.objects is None:
        raise ValueError(f"{spec.name} does not separate objects")
    names = spec.channel_names
    index = names.index(spec.objects.foreground)
    foreground = probabilities[index] >= spec.classes[index].threshold
    height = probabilities[names.index(spec.objects.seeds)]
    seeds, count = ndimage.label((height >= spec.objects.seed_threshold) & foreground)
    regions, _ = ndimage.label(foreground)
    reached = np.zeros(regions.max() + 1, dtype=bool)
    reached[regions[seeds > 0]] = True
    seeds = np.where(reached[regions] | ~foreground, seeds, regions + count)
    return without_small(watershed(-height, seeds, mask=foreground), minimum=spec.objects.min_area_px)


def without_small(labels: Array, *, minimum: int) -> Array:
    """(H, W) int -> (H, W) int32 renumbered 1 ... n without the objects of fewer than `minimum` pixels."""
    keep = np.bincount(labels.ravel()) >= minimum
    keep[0] = False
    return (keep.cumsum() * keep).astype(np.int32)[labels]
