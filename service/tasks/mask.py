"""Masks: probability maps -> the class and the object of each pixel of the image as sent."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from models.image import Array
from models.objects import separate
from models.preprocess import resize
from models.spec import ModelSpec
from service.tasks.task import Separate

BACKGROUND = "background"  # a class of this label holds no objects, and its pixels are 0 in format=labels


@dataclass(frozen=True, slots=True)
class Mask:
    """Classes and objects in the image's pixels; where classes overlap, `classes` has the most probable.

    probabilities (C, H, W) float32, one channel a class. classes (H, W) uint8: the class's place in the package's list
    plus 1, or 0. objects (H, W) int32: 0 or the object's number, objects of one class after those of another.
    object_class (n + 1,) uint8: the class (as in `classes`) of each object, 0 for number 0.
    """

    spec: ModelSpec
    probabilities: Array
    classes: Array
    objects: Array
    object_class: Array

    @property
    def count(self) -> int:
        return len(self.object_class) - 1


def interpret(probabilities: Array, spec: ModelSpec, *, size: tuple[int, int], separate: Separate = separate) -> Mask:
    """(classes + auxiliary, h, w) float32 in [0, 1] -> Mask of the image's size (H, W)."""
    probabilities = np.moveaxis(resize(np.moveaxis(probabilities, 0, 2), size), 2, 0)
    own = probabilities[: len(spec.classes)]
    if spec.objects:
        objects = separate(probabilities, spec)
        place = 1 + spec.channel_names.index(spec.objects.foreground)
        object_class = np.full(objects.max() + 1, place, np.uint8)
        object_class[0] = 0
        return Mask(spec, own, object_class[objects], objects, object_class)
    classes = class_map(own, spec)
    return Mask(spec, own, classes, *connected(classes, spec))


def class_map(probabilities: Array, spec: ModelSpec) -> Array:
    """(C, H, W) -> (H, W) uint8: 1 + the most probable class; of a sigmoid network only if it reaches its threshold."""
    best: Array = probabilities.argmax(axis=0)
    if spec.activation == "softmax":
        return best.astype(np.uint8) + np.uint8(1)
    thresholds = np.array([known.threshold for known in spec.classes], np.float32)
    reached = np.where(probabilities >= thresholds[:, None, None], probabilities, -1.0)
    best = reached.argmax(axis=0)
    return np.where(reached.max(axis=0) >= 0, best + 1, 0).astype(np.uint8)


def own_pixels(mask: Mask, place: int) -> Array:
    """Returns (H, W) bool: the pixels of the class with this number (from 1), whatever else overlaps there."""
    if not mask.spec.classes_overlap:
        return np.equal(mask.classes, place)
    own: Array = mask.probabilities[place - 1] >= np.float32(mask.spec.classes[place - 1].threshold)
    return own


def layers(mask: Mask) -> Iterator[Mask]:
    """Yields the mask, or one mask for each class if classes overlap: a pixel may then belong to several objects."""
    if not mask.spec.classes_overlap:
        yield mask
        return
    for place in range(1, len(mask.spec.classes) + 1):
        classes = (own_pixels(mask, place) * place).astype(np.uint8)
        objects, object_class = connected(classes, mask.spec)
        yield replace(mask, classes=classes, objects=objects, object_class=object_class)


def connected(classes: Array, spec: ModelSpec) -> tuple[Array, Array]:
    """Class map -> objects (H, W) int32 and the class of each: connected pixels (4 neighbours) of one class."""
    objects = np.zeros(classes.shape, np.int32)
    object_class = [np.zeros(1, np.uint8)]
    total = 0
    for place, known in enumerate(spec.classes, start=1):
        if known.label == BACKGROUND:
            continue
        labels, count = ndimage.label(classes == place)
        objects += np.where(labels > 0, labels + total, 0).astype(np.int32)
        object_class.append(np.full(count, place, np.uint8))
        total += count
    return objects, np.concatenate(object_class)
