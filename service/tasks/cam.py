"""Where the network saw a class: its map, however it was made, in the pixels of the image that was sent."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from models.image import Array, Image
from models.outputs import CamSpec
from models.spec import ModelSpec
from service.api.options import CamOptions
from service.encode.colour import blend, colormap, displayable, levels, palette
from service.encode.npy import npy
from service.encode.png import png, png_indexed
from service.errors import NoMap, NoPicture, UnknownLabel, UnknownMethod
from service.tasks.picture import Picture

OCCLUSION = "occlusion"


@dataclass(frozen=True, slots=True)
class ClassMap:
    """values (h, w) float32 before any ReLU: what is above 0 speaks for the class.

    origin, stride: where they lie, as in CamSpec. place: the class's in the package's list.
    """

    values: Array
    origin: float
    stride: float
    place: int
    probability: float


def place_of(label: str | None, spec: ModelSpec) -> int | None:
    """The label's place among the classes; None for None, which asks for the most probable. Raises UnknownLabel."""
    labels = [known.label for known in spec.classes]
    if label is not None and label not in labels:
        raise UnknownLabel(label, model=spec.name, labels=labels)
    return None if label is None else labels.index(label)


def check_format(format: str, spec: ModelSpec) -> None:
    """Raises NoPicture: a signal has nothing to draw on."""
    if spec.input.kind == "signal" and format != "raw":
        raise NoPicture(spec.name, format=format)


def methods_of(spec: ModelSpec) -> tuple[str, ...]:
    """How a map of this network can be made, its own way first."""
    return (*(spec.cam.methods if spec.cam else ()), OCCLUSION)


def method_of(method: str | None, spec: ModelSpec) -> str:
    """The method asked for; for None the package's own. Raises NoMap, UnknownMethod."""
    able = methods_of(spec)
    if method is None and spec.cam is None:
        raise NoMap(spec.name)
    if method is not None and method not in able:
        raise UnknownMethod(method, model=spec.name, methods=able)
    return method or able[0]


def most_probable(probabilities: Array, spec: ModelSpec) -> int:
    """The place of the class, among probabilities (C,)."""
    return int(probabilities[: len(spec.classes)].argmax())


def given(outputs: Mapping[str, Array], known: CamSpec, *, place: int, method: str) -> ClassMap:
    """The graph's own: probabilities (C,) and the method's output (C, h, w)."""
    output, factor = known.methods[method]
    values = outputs[output][place] * np.float32(factor)
    return ClassMap(values, known.origin, known.stride, place, float(outputs["probabilities"][place]))


def laid_over(found: ClassMap, spec: ModelSpec, *, size: tuple[int, int]) -> Array:
    """(H, W) float32, bilinear: each of the map's pixels where its receptive field's centre is in the image.

    Stretching the map over the image instead would move what it shows by up to half a stride.
    """
    if spec.input.size is None:
        raise ValueError(f"{spec.name} has no maps")
    values = found.values
    for axis in (1, 0):  # along its few rows first; products of matrices would wake BLAS's threads beside the networks'
        length, inside, count = size[axis], spec.input.size[axis], values.shape[axis]
        in_network = (np.arange(length) + 0.5) * inside / length - 0.5  # px of the network's input
        place = ((in_network - found.origin) / found.stride).clip(0, count - 1)
        low = place.astype(int)
        part = np.expand_dims((place - low).astype(np.float32), 1 - axis)
        near, far = values.take(low, axis), values.take(np.minimum(low + 1, count - 1), axis)
        far -= near
        far *= part
        values = near + far
    return values


def positive_part(values: Array) -> Array:
    """(H, W) any range -> (H, W) float32 in [0, 1]: ReLU, then divided by the maximum; nothing positive gives zeros."""
    positive = values.clip(min=0)
    top: float = positive.max()
    return positive / top if top > 0 else positive


def overlay(values: Array, image: Image, options: CamOptions) -> Picture:
    """The image, hidden by the colour map in proportion to the map: where the class was not seen it stays untouched."""
    values = positive_part(values)
    picture = blend(displayable(image.pixels), colormap(values, options.colormap), values * options.alpha)
    return Picture(png(picture), "image/png")


def heatmap(values: Array, image: Image, options: CamOptions) -> Picture:
    return Picture(png_indexed(levels(positive_part(values)), palette(options.colormap)), "image/png")


def raw(values: Array, image: Image, options: CamOptions) -> Picture:
    return Picture(npy(values), "application/x-npy")


FORMATS: dict[str, Callable[[Array, Image, CamOptions], Picture]] = {
    "overlay": overlay,
    "heatmap": heatmap,
    "raw": raw,
}
