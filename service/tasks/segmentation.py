"""Segmentation: masks as label images, overlays, arrays and measurements."""

import json
from collections.abc import Callable
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from models.image import Array
from models.source import Image
from models.spec import ModelSpec, TaskKind
from service.api.answers import Measurements, WireModel
from service.api.options import Alpha, OneOf
from service.encode.colour import blend, displayable, rgb
from service.encode.npy import npy
from service.encode.png_writer import png, png_binary, png_indexed
from service.errors import TooLargeForOnePass, TooManyObjects
from service.tasks.mask import BACKGROUND, Mask, interpret, own_pixels
from service.tasks.measurement import measurements
from service.tasks.task import Encoded, Outputs, Picture, Separate, Task, media_types_of

Written = tuple[bytes, dict[str, str]]  # the body and the facts of a Picture
# About what finding objects takes, or measuring them, against going through a pixel.
_LEAST_PIXELS, _PASSES = 2**17, 140


def label_image(mask: Mask) -> Array:
    """Returns (H, W): object numbers of a model that separates objects, int32; else the class's value, uint8."""
    return mask.objects if mask.spec.objects else class_values(mask.spec).take(mask.classes)


def labels(mask: Mask, image: Image, options: "SegmentOptions") -> Written:
    """Encodes the label image; a header explains a class's value.

    8 bits of grey even where there is one class: some readers give 255 for a 1-bit PNG's 1, some a palette's colours.
    """
    values = label_image(mask)
    if mask.spec.objects is None:
        labels = [described.label for described in mask.spec.classes]
        names = {str(value): label for value, label in zip(class_values(mask.spec)[1:], labels)}
        return png(values), {"Values": json.dumps(names)}
    if mask.count > np.iinfo(np.uint16).max:
        raise TooManyObjects(mask.count, "a PNG can number at most 65,535; format=measurements lists more")
    return png(values.astype(np.uint8 if mask.count <= 255 else np.uint16)), {}


def overlay(mask: Mask, image: Image, options: "SegmentOptions") -> Written:
    """Draws each class's colour over the image, opaque along the edges, so that touching objects are distinct."""
    palette = colours_of(mask.spec)
    foreground = mask.objects > 0
    weight = np.where(edges(mask.objects), np.float32(1), np.float32(options.alpha)) * foreground
    return png(blend(displayable(image.pixels), palette.take(mask.classes, axis=0), weight)), {}


def binary(mask: Mask, image: Image, options: "SegmentOptions") -> Written:
    return png_binary(mask.objects > 0), {}


def colours(mask: Mask, image: Image, options: "SegmentOptions") -> Written:
    return png_indexed(mask.classes, colours_of(mask.spec)), {}


def probabilities(mask: Mask, image: Image, options: "SegmentOptions") -> Written:
    return npy(mask.probabilities), _channels(mask)


def masks(mask: Mask, image: Image, options: "SegmentOptions") -> Written:
    """(C, H, W) uint8, 1 where the class is."""
    every = [own_pixels(mask, place) for place in range(1, len(mask.spec.classes) + 1)]
    return npy(np.stack(every).view(np.uint8)), _channels(mask)


def edges(objects: Array) -> Array:
    """(H, W) int -> (H, W) bool: pixels with a neighbour (of four) in another object or in none."""
    edge = np.zeros(objects.shape, bool)
    down, right = objects[1:] != objects[:-1], objects[:, 1:] != objects[:, :-1]
    for side, differs in ((edge[1:], down), (edge[:-1], down), (edge[:, 1:], right), (edge[:, :-1], right)):
        side |= differs
    return edge


def class_values(spec: ModelSpec) -> Array:
    """Returns (C + 1,) uint8: the value in format=labels of no class, which is 0, and of each class.

    These are 1, 2 ... in the package's order, but 0 for the background.
    """
    foreground = [False, *(known.label != BACKGROUND for known in spec.classes)]
    return (np.cumsum(foreground) * foreground).astype(np.uint8)


def colours_of(spec: ModelSpec) -> Array:
    """(C + 1, 3) uint8: black, then each class's colour."""
    return np.array([(0, 0, 0), *(rgb(known.colour) for known in spec.classes)], np.uint8)


def _channels(mask: Mask) -> dict[str, str]:
    return {"Channels": json.dumps([described.label for described in mask.spec.classes])}


FORMATS: dict[str, tuple[str, Callable[[Mask, Image, "SegmentOptions"], Written]]] = {
    "labels": ("image/png", labels),
    "overlay": ("image/png", overlay),
    "binary": ("image/png", binary),
    "colours": ("image/png", colours),
    "masks": ("application/x-npy", masks),
    "probabilities": ("application/x-npy", probabilities),
}


class SegmentOptions(WireModel):
    """The fields of /segment other than `image` and `model`."""

    format: Annotated[str, OneOf((*FORMATS, "measurements"))] = Field(
        "labels",
        description="PNG (`labels`, `overlay`, `binary`, `colours`), .npy (`masks`, `probabilities`) or JSON "
        "(`measurements`).",
    )
    alpha: Alpha = Field(0.4, description="Opacity of the overlay inside objects.")
    pixel_size_um: float | None = Field(
        None, gt=0, le=1e6, description="Pixel size in micrometres; overrides the file's."
    )


class Segmentation(Task[SegmentOptions, Mask]):
    """Which pixels are what, and which objects they make up."""

    name = "segment"
    summary = "Which pixels are what."
    kind: ClassVar[TaskKind] = "segmentation"
    options = SegmentOptions
    schemas = (Measurements,)
    media_types = media_types_of(FORMATS)
    errors = (TooManyObjects, TooLargeForOnePass)

    def warm_up_options(self, spec: ModelSpec) -> tuple[SegmentOptions, ...]:
        return (SegmentOptions(), SegmentOptions(format="measurements"))

    def outputs(self, options: SegmentOptions, spec: ModelSpec) -> tuple[str, ...]:
        return ()

    def pixels(self, options: SegmentOptions, image: Image) -> float:
        return _LEAST_PIXELS + _PASSES * image.height * image.width

    def interpret(
        self, outputs: Outputs, image: Image, options: SegmentOptions, spec: ModelSpec, separate: Separate
    ) -> Mask:
        return interpret(
            outputs[spec.names["probabilities"]], spec, size=(image.height, image.width), separate=separate
        )

    def encode(self, findings: Mask, image: Image, options: SegmentOptions, spec: ModelSpec) -> Encoded:
        if options.format == "measurements":
            return measurements(findings, pixel_size_um=options.pixel_size_um or image.pixel_size_um)
        media_type, write = FORMATS[options.format]
        body, facts = write(findings, image, options)
        return Picture(body, media_type, {**facts, "Count": str(findings.count)})
