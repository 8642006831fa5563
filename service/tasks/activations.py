"""Feature maps of a layer and the filters of the first layer, as numbers or side by side in one picture."""

import json
import math
from collections.abc import Callable
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from models.image import Array
from models.outputs import TapSpec
from models.source import Image
from models.spec import ModelSpec, TaskKind
from service.api.answers import WireModel
from service.api.options import COLORMAP_DESCRIPTION, Colormap, FilterOptions, OneOf, Whole
from service.encode.colour import levels, palette
from service.encode.npy import npy
from service.encode.png_writer import png, png_indexed
from service.errors import InvalidOption, UnknownLayer
from service.tasks.task import Outputs, Picture, Separate, Task, media_types_of

_SIDE = 32  # px that a small map is enlarged to, at least, by repeating its pixels
_GAP = 1  # px between maps
_PIXELS = 2**28  # about what the maps of any layer take


def raw(chosen: Array, options: "ActivationOptions") -> tuple[bytes, dict[str, str]]:
    return npy(chosen), {}


def picture(chosen: Array, options: "ActivationOptions") -> tuple[bytes, dict[str, str]]:
    """Maps each channel's minimum and maximum, given in "Ranges", to the ends of the colour map."""
    scaled, ranges = stretched(chosen)
    tiled, columns = side_by_side(levels(scaled))
    facts = {"Ranges": json.dumps(ranges), "Columns": str(columns)}
    return png_indexed(tiled, palette(options.colormap)), facts


FORMATS: dict[str, tuple[str, Callable[[Array, "ActivationOptions"], tuple[bytes, dict[str, str]]]]] = {
    "picture": ("image/png", picture),
    "raw": ("application/x-npy", raw),
}


class ActivationOptions(WireModel):
    """The fields of /activations other than `image` and `model`."""

    layer: str | None = Field(None, description="One of the model's layers; by default the first.")
    format: Annotated[str, OneOf(FORMATS)] = Field(
        "picture", description="The maps side by side (PNG), or their values as a float32 .npy."
    )
    first: Whole = Field(0, ge=0, description="Index of the first channel, from 0.")
    count: Whole = Field(64, ge=1, le=64, description="Number of channels.")
    colormap: Colormap = Field("viridis", description=COLORMAP_DESCRIPTION)


class Activations(Task[ActivationOptions, Array]):
    """What a layer sees in an image. Its findings are the layer's maps (K, h, w) float32."""

    name = "activations"
    summary = "What a layer sees in the image."
    kind: ClassVar[TaskKind] = "classification"
    options = ActivationOptions
    media_types = media_types_of(FORMATS)
    errors = (UnknownLayer,)

    def outputs(self, options: ActivationOptions, spec: ModelSpec) -> tuple[str, ...]:
        tap = tap_of(options.layer, spec)
        if options.first >= tap.size[0]:
            raise InvalidOption("first", options.first, f"the layer has {tap.size[0]} channels, from 0")
        return (tap.name,)

    def warm_up_options(self, spec: ModelSpec) -> tuple[ActivationOptions, ...]:
        return (ActivationOptions(),) if spec.taps else ()

    def pixels(self, options: ActivationOptions, image: Image) -> float:
        return _PIXELS

    def interpret(
        self, outputs: Outputs, image: Image, options: ActivationOptions, spec: ModelSpec, separate: Separate
    ) -> Array:
        return outputs[tap_of(options.layer, spec).name]

    def encode(self, findings: Array, image: Image, options: ActivationOptions, spec: ModelSpec) -> Picture:
        return activations(findings, options, layer=tap_of(options.layer, spec).layer)


def tap_of(layer: str | None, spec: ModelSpec) -> TapSpec:
    """Returns the layer asked for; for None the first that the package shows. Raises UnknownLayer."""
    taps = {tap.layer: tap for tap in spec.taps}
    name = layer or next(iter(taps), "")
    if name not in taps:
        raise UnknownLayer(name, model=spec.name, layers=taps)
    return taps[name]


def activations(maps: Array, options: ActivationOptions, *, layer: str) -> Picture:
    """maps (K, h, w) float32 -> the channels asked for, as they are or each in the colours of its own range."""
    chosen = maps[options.first : options.first + options.count]
    channels = range(options.first, options.first + len(chosen))
    facts = {"Layer": layer, "Channels": json.dumps(list(channels)), "Of": str(len(maps))}
    media_type, write = FORMATS[options.format]
    body, more = write(chosen, options)
    return Picture(body, media_type, facts | more)


def filters(weights: Array, options: FilterOptions) -> Picture:
    """(K, C, h, w) float32 -> .npy, or every filter in grey or colour, each scaled to its range in "Ranges"."""
    facts = {"Shape": json.dumps(weights.shape)}
    if options.format == "raw":
        return Picture(npy(weights), "application/x-npy", facts)
    scaled, ranges = stretched(weights)
    pixels = levels(scaled)
    tiled, columns = side_by_side(pixels[:, 0] if weights.shape[1] == 1 else np.moveaxis(pixels, 1, 3))
    return Picture(png(tiled), "image/png", {**facts, "Ranges": json.dumps(ranges), "Columns": str(columns)})


def stretched(values: Array) -> tuple[Array, list[list[float]]]:
    """(n, ...) -> each of the n scaled from its range to [0, 1], and the ranges; a constant becomes zeros."""
    axes = tuple(range(1, values.ndim))
    low, high = values.min(axis=axes), values.max(axis=axes)
    span = np.where(high > low, high - low, 1).reshape(-1, *[1] * len(axes))
    ranges = [[float(f"{a:.4g}"), float(f"{b:.4g}")] for a, b in zip(low, high)]
    return (values - low.reshape(span.shape)) / span, ranges


def side_by_side(tiles: Array) -> tuple[Array, int]:
    """(n, h, w) or (n, h, w, 3) uint8 -> one picture, row by row from the top left, and the number of columns."""
    count, height, width = tiles.shape[:3]
    columns = math.ceil(math.sqrt(count))
    rows = -(-count // columns)
    zoom = -(-_SIDE // max(height, width))
    height, width = height * zoom + _GAP, width * zoom + _GAP
    whole = np.zeros((rows * height - _GAP, columns * width - _GAP, *tiles.shape[3:]), np.uint8)
    for n, tile in enumerate(tiles.repeat(zoom, axis=1).repeat(zoom, axis=2)):
        top, left = n // columns * height, n % columns * width
        whole[top : top + height - _GAP, left : left + width - _GAP] = tile
    return whole, columns
