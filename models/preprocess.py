"""Preprocessing: an image's pixels -> the network's input tensor, by the same code in training and in the service.

The order is fixed: colour to grey where the network takes grey, size (`resize`), grey to three channels where it takes
three, both by `match_channels`, then the package's own steps. Each step is a BioImage.IO preprocessing operation: its
configuration stands beside its numpy function, and sees the whole image.
"""

from abc import abstractmethod
from typing import Annotated, Literal, Self

import numpy as np
import PIL.Image
from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.errors import NotFinite, UnsupportedImage
from models.image import Array

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # Rec. 601
StepAxes = tuple[Literal["y"], Literal["x"]] | tuple[Literal["channel"], Literal["y"], Literal["x"]]
_AXIS = {"y": 0, "x": 1, "channel": 2}


class Step(BaseModel):
    """One operation on (H, W, C) pixels; its fields are the BioImage.IO `kwargs`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @abstractmethod
    def __call__(self, pixels: Array) -> Array: ...


class EnsureDtype(Step):
    """Casts to float32, which is what every network here takes."""

    id: Literal["ensure_dtype"] = "ensure_dtype"
    dtype: Literal["float32"] = "float32"

    def __call__(self, pixels: Array) -> Array:  # (H, W, C) any dtype -> (H, W, C) float32
        return pixels.astype(np.float32, copy=False)


class ScaleLinear(Step):
    """Computes gain * pixels + offset."""

    id: Literal["scale_linear"] = "scale_linear"
    gain: float = 1.0
    offset: float = 0.0

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if (self.gain, self.offset) == (1, 0):  # BioImage.IO refuses it
            raise ValueError("gain 1 with offset 0 changes nothing: leave the step out")
        return self

    def __call__(self, pixels: Array) -> Array:  # (H, W, C) any dtype -> (H, W, C) float32
        scaled = pixels.astype(np.float32)
        scaled *= np.float32(self.gain)
        scaled += np.float32(self.offset)
        return scaled


class ScaleRange(Step):
    """Maps the two percentiles of the whole image, over `axes`, to 0 and 1; values beyond go below 0 and above 1."""

    id: Literal["scale_range"] = "scale_range"
    axes: StepAxes = ("y", "x")
    min_percentile: float = Field(default=0.0, ge=0, lt=100)
    max_percentile: float = Field(default=100.0, gt=1, le=100)
    eps: float = Field(default=1e-6, gt=0, le=0.1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_percentile >= self.max_percentile:
            raise ValueError(f"min_percentile {self.min_percentile} is not below max_percentile {self.max_percentile}")
        return self

    def __call__(self, pixels: Array) -> Array:  # (H, W, C) any dtype -> (H, W, C) float32
        low, high = percentiles(pixels, (self.min_percentile, self.max_percentile), axes=self.axes)
        return ((pixels - low) / (high - low + self.eps)).astype(np.float32)


class ZeroMeanUnitVariance(Step):
    """Computes (pixels - mean) / (standard deviation + eps), both over `axes` of the whole image."""

    id: Literal["zero_mean_unit_variance"] = "zero_mean_unit_variance"
    axes: StepAxes = ("y", "x")
    eps: float = Field(default=1e-6, gt=0, le=0.1)

    def __call__(self, pixels: Array) -> Array:  # (H, W, C) any dtype -> (H, W, C) float32
        over = tuple(_AXIS[axis] for axis in self.axes)
        mean = pixels.mean(axis=over, keepdims=True, dtype=np.float64)
        std = pixels.std(axis=over, keepdims=True, dtype=np.float64)
        normal: Array = (pixels - mean) / (std + self.eps)
        return normal.astype(np.float32)


class Clip(Step):
    """Clips values to `min` ... `max`."""

    id: Literal["clip"] = "clip"
    min: float
    max: float

    def __call__(self, pixels: Array) -> Array:  # (H, W, C) any dtype -> same
        return pixels.clip(self.min, self.max)


AnyStep = Annotated[EnsureDtype | ScaleLinear | ScaleRange | ZeroMeanUnitVariance | Clip, Field(discriminator="id")]


def percentiles(pixels: Array, q: tuple[float, ...], *, axes: StepAxes) -> list[Array]:
    """Computes np.percentile (linear) of (H, W, C) over `axes`, each (1, 1, C or 1) float64."""
    if "channel" not in axes:
        each = [_percentiles(pixels[:, :, c], q) for c in range(pixels.shape[2])]
        return [values[None, None] for values in np.stack(each, axis=1)]  # (len(q), C) -> each (1, 1, C)
    return [value.reshape(1, 1, 1) for value in _percentiles(pixels, q)]


def _percentiles(values: Array, q: tuple[float, ...]) -> Array:
    """Computes np.percentile of finite values of any shape -> (len(q),) float64.

    For 8 and 16 bits a histogram is exact and ten times as fast; for others sorting takes a quarter of the time of
    np.percentile.
    """
    position = np.asarray(q) / 100 * (values.size - 1)
    places = np.floor(position), np.ceil(position)
    if values.dtype in (np.uint8, np.uint16):
        counts = np.bincount(values.ravel()).cumsum()
        below, above = (counts.searchsorted(place, side="right") for place in places)
    else:
        ordered = np.sort(values, axis=None)
        below, above = (ordered[place.astype(int)].astype(np.float64) for place in places)
    return below + (above - below) * (position - places[0])


def match_channels(pixels: Array, channels: int) -> Array:
    """Matches (H, W, 1 or 3) to (H, W, channels): colour becomes Rec. 601 luma (float32), grey is repeated."""
    if pixels.shape[2] == channels:
        return pixels
    if (pixels.shape[2], channels) == (3, 1):
        return pixels.astype(np.float32) @ LUMA[:, None]
    if (pixels.shape[2], channels) == (1, 3):
        return np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    raise UnsupportedImage(f"The image has {pixels.shape[2]} channels; this model takes 1 (grey) or 3 (colour).")


def resize(pixels: Array, size: tuple[int, int]) -> Array:
    """Resizes (H, W, C) of any dtype to (height, width, C) float32, bilinear with antialiasing; intensities stay."""
    if pixels.shape[:2] == size:
        return pixels
    planes = [PIL.Image.fromarray(pixels[:, :, c].astype(np.float32)) for c in range(pixels.shape[2])]
    scaled = [plane.resize((size[1], size[0]), PIL.Image.Resampling.BILINEAR) for plane in planes]
    return np.stack([np.asarray(plane) for plane in scaled], axis=2)


def prepare(pixels: Array, *, channels: int, size: tuple[int, int] | None, steps: tuple[AnyStep, ...]) -> Array:
    """Prepares (H, W, C) of any dtype as (channels, height, width) float32 for the network; size None keeps H and W.

    Raises NotFinite where a float image holds NaN or infinity, UnsupportedImage for 2 or more than 3 channels.
    """
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise NotFinite(int(np.count_nonzero(~np.isfinite(pixels))))
    if pixels.shape[2] > channels:  # before it is resized, and grey is repeated after: one channel to resize, not three
        pixels = match_channels(pixels, channels)
    if size is not None:
        pixels = resize(pixels, size)
    pixels = match_channels(pixels, channels)
    # In memory one channel after the other, as the network takes them: the steps keep that.
    pixels = np.ascontiguousarray(pixels.transpose(2, 0, 1)).transpose(1, 2, 0)
    for step in steps:
        pixels = step(pixels)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32)


def padding(length: int, *, min_size: int, step: int, border: int) -> tuple[int, int]:
    """Returns the pixels to add before and after `length`, to make min_size + k * step with `border` on each side."""
    wanted = length + 2 * border
    padded = min_size + max(0, -(-(wanted - min_size) // step)) * step
    return border, padded - length - border


def pad(tensor: Array, *, min_size: int, step: int, border: int) -> Array:
    """Pads (C, H, W) to (C, H', W') with mirrored pixels; the network's output for H, W begins at its pixel (0, 0)."""
    sides = [padding(length, min_size=min_size, step=step, border=border) for length in tensor.shape[1:]]
    return np.pad(tensor, [(0, 0), *sides], mode="symmetric")


def intensity_figures(tensor: Array) -> dict[str, float]:
    """Computes mean, standard deviation, 1st and 99th percentile of a prepared tensor (C, H, W) float32.

    They are taken over about 2 ** 16 evenly spaced pixels, which is enough to tell unusual images apart.
    """
    every = max(1, round((tensor[0].size / 2**16) ** 0.5))
    some = tensor[:, ::every, ::every]
    p1, p99 = _percentiles(some, (1, 99))
    return {"mean": float(some.mean()), "std": float(some.std()), "p1": float(p1), "p99": float(p99)}
