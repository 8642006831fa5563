"""Class activation maps: the evidence for a class, however it was computed, in the pixels of the image as sent."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from models.image import Array
from models.source import Image
from models.spec import ModelSpec, TaskKind
from service.api.answers import WireModel
from service.api.options import COLORMAP_DESCRIPTION, Alpha, Colormap, OneOf
from service.encode.colour import blend, colormap, displayable, levels, palette
from service.encode.npy import npy
from service.encode.png_writer import png, png_indexed
from service.errors import CamError, NoMap, NoPicture, UnknownLabel, UnknownMethod
from service.tasks.classification import most_probable
from service.tasks.occlusion import occlusion_map
from service.tasks.task import Outputs, Passes, Picture, Separate, Task, media_types_of

OCCLUSION: Literal["occlusion"] = "occlusion"
_MOST_PASSES = 32  # covered images that wait or run together: a GPU's batch
_PICTURE_PASSES = 32  # about what a picture takes against the map's numbers


@dataclass(frozen=True, slots=True)
class ClassMap:
    """values (h, w) float32 before any ReLU: positive values are evidence for the class.

    origin, stride: their position in the network's input, as in CamSpec. index: of the class in the package's list.
    """

    values: Array
    origin: float
    stride: float
    index: int
    probability: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """values (H, W) float32: a class map in the image's pixels. label, probability: of its class."""

    values: Array
    label: str
    probability: float
    method: str


def positive_part(values: Array) -> Array:
    """(H, W) any range -> (H, W) float32 in [0, 1]: ReLU, then divided by the maximum; nothing positive gives zeros."""
    positive = values.clip(min=0)
    top: float = positive.max()
    return positive / top if top > 0 else positive


def overlay(values: Array, image: Image, options: "CamOptions") -> bytes:
    """The image under the colour map, which hides it in proportion to the map: without evidence it stays untouched."""
    values = positive_part(values)
    picture = blend(displayable(image.pixels), colormap(values, options.colormap), values * options.alpha)
    return png(picture)


def heatmap(values: Array, image: Image, options: "CamOptions") -> bytes:
    return png_indexed(levels(positive_part(values)), palette(options.colormap))


def raw(values: Array, image: Image, options: "CamOptions") -> bytes:
    return npy(values)


FORMATS: dict[str, tuple[str, Callable[[Array, Image, "CamOptions"], bytes]]] = {
    "overlay": ("image/png", overlay),
    "heatmap": ("image/png", heatmap),
    "raw": ("application/x-npy", raw),
}


class CamOptions(WireModel):
    """The fields of /cam other than `image` and `model`."""

    label: str | None = Field(None, description="The class to map; by default the most probable one.")
    method: Literal["cam", "gradcam", "hirescam", "occlusion"] | None = Field(
        None, description="The method that computes the map; by default the model's own."
    )
    format: Annotated[str, OneOf(FORMATS)] = Field(
        "overlay", description="The map over the image, the map alone (both PNG), or its values as a float32 .npy."
    )
    colormap: Colormap = Field("inferno", description=COLORMAP_DESCRIPTION)
    alpha: Alpha = Field(0.6, description="Opacity of the overlay at the map's maximum.")


async def _occluded(outputs: Outputs, tensor: Array, options: CamOptions, spec: ModelSpec, passes: Passes) -> Outputs:
    """Adds the occlusion map, if it is asked for."""
    if method_of(options.method, spec) != OCCLUSION:
        return outputs
    name, index = spec.names["probabilities"], _index(outputs, options, spec)

    async def probabilities(inputs: list[Callable[[], Array]]) -> list[float]:
        return [float(each[name][index]) for each in await passes(inputs, most=_MOST_PASSES)]

    return {**outputs, OCCLUSION: await occlusion_map(tensor, probabilities, before=float(outputs[name][index]))}


class ClassActivation(Task[CamOptions, Evidence]):
    """Where the network saw a class."""

    name = "cam"
    summary = "Where the network saw a class."
    kind: ClassVar[TaskKind] = "classification"
    options = CamOptions
    media_types = media_types_of(FORMATS)
    errors = (CamError,)
    extra_passes = staticmethod(_occluded)

    def outputs(self, options: CamOptions, spec: ModelSpec) -> tuple[str, ...]:
        index_of(options.label, spec)
        check_format(options.format, spec)
        method = method_of(options.method, spec)
        return () if method == OCCLUSION or spec.cam is None else (spec.cam.methods[method][0],)

    def warm_up_options(self, spec: ModelSpec) -> tuple[CamOptions, ...]:
        return (CamOptions(format="raw" if spec.input.kind == "signal" else "overlay"),) if spec.cam else ()

    def pixels(self, options: CamOptions, image: Image) -> float:
        return image.height * image.width * (1 if options.format == "raw" else _PICTURE_PASSES)

    def interpret(
        self, outputs: Outputs, image: Image, options: CamOptions, spec: ModelSpec, separate: Separate
    ) -> Evidence:
        method, index = method_of(options.method, spec), _index(outputs, options, spec)
        found = class_map(outputs, spec, index=index, method=method)
        values = resample(found, spec, size=(image.height, image.width))
        return Evidence(values, spec.classes[index].label, found.probability, method)

    def encode(self, findings: Evidence, image: Image, options: CamOptions, spec: ModelSpec) -> Picture:
        media_type, write = FORMATS[options.format]
        probability = f"{findings.probability:.6g}"
        facts = {"Label": findings.label, "Probability": probability, "Method": findings.method}
        return Picture(write(findings.values, image, options), media_type, facts)


def index_of(label: str | None, spec: ModelSpec) -> int | None:
    """Returns the label's index among the classes; None for None, the most probable class. Raises UnknownLabel."""
    labels = [described.label for described in spec.classes]
    if label is not None and label not in labels:
        raise UnknownLabel(label, model=spec.name, labels=labels)
    return None if label is None else labels.index(label)


def _index(outputs: Outputs, options: CamOptions, spec: ModelSpec) -> int:
    index = index_of(options.label, spec)
    return most_probable(outputs[spec.names["probabilities"]], spec) if index is None else index


def check_format(format: str, spec: ModelSpec) -> None:
    """Raises NoPicture: a signal has nothing to draw on."""
    if spec.input.kind == "signal" and format != "raw":
        raise NoPicture(spec.name, format=format)


def methods_of(spec: ModelSpec) -> tuple[str, ...]:
    """Returns the methods that make a map of this network, its own first."""
    return (*(spec.cam.methods if spec.cam else ()), OCCLUSION)


def method_of(method: str | None, spec: ModelSpec) -> str:
    """Returns the method asked for; for None the package's own. Raises NoMap, UnknownMethod."""
    methods = methods_of(spec)
    if method is None and spec.cam is None:
        raise NoMap(spec.name)
    if method is not None and method not in methods:
        raise UnknownMethod(method, model=spec.name, methods=methods)
    return method or methods[0]


def class_map(outputs: Outputs, spec: ModelSpec, *, index: int, method: str) -> ClassMap:
    """Returns one class's map, of the graph's output (C, h, w) of a method, or of OCCLUSION's (H, W)."""
    probability = float(outputs[spec.names["probabilities"]][index])
    if method == OCCLUSION or spec.cam is None:
        return ClassMap(outputs[OCCLUSION], 0.0, 1.0, index, probability)
    output, factor = spec.cam.methods[method]
    values = outputs[output][index] * np.float32(factor)
    return ClassMap(values, spec.cam.origin, spec.cam.stride, index, probability)


def resample(found: ClassMap, spec: ModelSpec, *, size: tuple[int, int]) -> Array:
    """Returns (H, W) float32, bilinear: each of the map's pixels lies at its receptive field's centre in the image.

    Stretching the map over the image instead would shift it by up to half a stride.
    """
    if spec.input.size is None:
        raise ValueError(f"{spec.name} has no maps")
    values = found.values
    for axis in (1, 0):  # along its few rows first; products of matrices would wake BLAS's threads beside the networks'
        length, inside, count = size[axis], spec.input.size[axis], values.shape[axis]
        in_network = (np.arange(length) + 0.5) * inside / length - 0.5  # px of the network's input
        position = ((in_network - found.origin) / found.stride).clip(0, count - 1)
        low = position.astype(int)
        part = np.expand_dims((position - low).astype(np.float32), 1 - axis)
        near, far = values.take(low, axis), values.take(np.minimum(low + 1, count - 1), axis)
        far -= near
        far *= part
        values = near + far
    return values
