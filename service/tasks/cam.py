"""Where the network saw a class: its activation map in the pixels of the image that was sent."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models.image import Array, Image
from models.spec import ModelSpec
from service.encode.colour import blend, colormap, displayable
from service.encode.npy import npy
from service.encode.png import png
from service.errors import UnknownLabel
from service.schemas import CamOptions
from service.tasks.picture import Picture


@dataclass(frozen=True, slots=True)
class ActivationMap:
    """values (H, W) float32 in the image's pixels, before any ReLU: what is above 0 speaks for the class."""

    values: Array
    label: str
    probability: float


def place_of(label: str | None, spec: ModelSpec) -> int | None:
    """The label's place among the classes; None for None, which asks for the most probable. Raises UnknownLabel."""
    labels = [known.label for known in spec.classes]
    if label is not None and label not in labels:
        raise UnknownLabel(label, model=spec.name, labels=labels)
    return None if label is None else labels.index(label)


def activation_map(
    outputs: dict[str, Array], spec: ModelSpec, *, label: str | None, size: tuple[int, int]
) -> ActivationMap:
    """probabilities (C,), cam (C, h, w) -> the map of `label`, or of the most probable class."""
    probabilities = outputs["probabilities"][: len(spec.classes)]
    place = place_of(label, spec)
    index = int(probabilities.argmax()) if place is None else place
    values = laid_over(outputs["cam"][index], spec, size=size)
    return ActivationMap(values, spec.classes[index].label, float(probabilities[index]))


def laid_over(cam: Array, spec: ModelSpec, *, size: tuple[int, int]) -> Array:
    """(h, w) -> (H, W) float32, bilinear: each of the map's pixels where its receptive field's centre is in the image.

    Stretching the map over the image instead would move what it shows by up to half a stride.
    """
    if spec.cam is None or spec.input.size is None:
        raise ValueError(f"{spec.name} has no maps")
    for length, inside in zip(size, spec.input.size):
        in_network = (np.arange(length) + 0.5) * inside / length - 0.5  # px of the network's input
        place = ((in_network - spec.cam.origin) / spec.cam.stride).clip(0, len(cam) - 1)
        low = place.astype(int)
        part = (place - low).astype(np.float32)[:, None]
        cam = (cam[low] * (1 - part) + cam[np.minimum(low + 1, len(cam) - 1)] * part).T  # rows, then columns
    return np.ascontiguousarray(cam)


def positive_part(values: Array) -> Array:
    """(H, W) any range -> (H, W) float32 in [0, 1]: ReLU, then divided by the maximum; nothing positive gives zeros."""
    positive = values.clip(min=0)
    top: float = positive.max()
    return positive / top if top > 0 else positive


def overlay(found: ActivationMap, image: Image, options: CamOptions) -> Picture:
    """The image, hidden by the colour map in proportion to the map: where the class was not seen it stays untouched."""
    values = positive_part(found.values)
    picture = blend(displayable(image.pixels), colormap(values, options.colormap), values * options.alpha)
    return Picture(png(picture), "image/png")


def heatmap(found: ActivationMap, image: Image, options: CamOptions) -> Picture:
    return Picture(png(colormap(positive_part(found.values), options.colormap)), "image/png")


def raw(found: ActivationMap, image: Image, options: CamOptions) -> Picture:
    return Picture(npy(found.values), "application/x-npy")


FORMATS: dict[str, Callable[[ActivationMap, Image, CamOptions], Picture]] = {
    "overlay": overlay,
    "heatmap": heatmap,
    "raw": raw,
}
