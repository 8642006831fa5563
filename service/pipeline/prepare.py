"""From an image's bytes to what the network takes, and what every answer tells of the image."""

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Generic, TypeVar

import numpy as np

from models.decode import decode
from models.decode.signal import decode_signal
from models.errors import ImageTooSmall, TooManyPixels
from models.image import Array, Image
from models.preprocess import prepare
from models.spec import ModelSpec
from service.api.answers import InputInfo, InputWarning, Timings
from service.errors import ValuesTooLarge
from service.pipeline.input_checks import deviations, figures_of, input_warnings
from service.repository.state import ServedModel
from service.scheduling.work_item import InferenceResult
from service.telemetry.stopwatch import Stopwatch

T = TypeVar("T")
Runner = Callable[[Array], InferenceResult | None]
_SMALL_BYTES, _SMALL_PIXELS = 4096, 64 * 64
_name = cache(lambda dtype: dtype.name)  # which numpy puts together each time


@dataclass(frozen=True, slots=True)
class Result(Generic[T]):
    """What came out for one image, and what every answer tells of it."""

    value: T
    model: ServedModel
    input: InputInfo
    warnings: tuple[InputWarning, ...]
    timings: Timings


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """An image that is ready for the network: tensor (C, H, W) float32. deviates: see cautions.deviations.

    ran: what the network gave for the tensor, where it was run at once.
    """

    model: ServedModel
    image: Image
    input: InputInfo
    tensor: Array
    warnings: tuple[InputWarning, ...]
    deviates: Mapping[str, float]
    watch: Stopwatch
    ran: InferenceResult | None = None

    def result(self, value: T) -> Result[T]:
        timings = self.watch.finish()
        self.model.statistics.answered(timings)
        return Result(value, self.model, self.input, self.warnings, timings)


def prepare_image(data: bytes, model: ServedModel, watch: Stopwatch, *, max_pixels: int, run: Runner) -> PreparedImage:
    """A file's bytes -> what the network takes; in one thread, since each change of thread costs as a small image does.

    run: the network for (1, C, H, W), if it is to run in this thread too. Raises ImageError, ValuesTooLarge, and what
    `run` raises.
    """
    with watch.stage("decode"):
        image, info = read(data, model.spec, max_pixels=max_pixels)
    with watch.stage("preprocess"):
        tensor, warnings, deviates = prepare_and_judge(image, model.spec)
    return PreparedImage(model, image, info, tensor, warnings, deviates, watch, run(tensor[None]))


def not_yet(_: Array) -> None:
    """A Runner that leaves it to the batcher."""


def at_once(data: bytes, model: ServedModel, watch: Stopwatch, *, max_pixels: int) -> PreparedImage | None:
    """make_ready where it takes less time than the way to a thread and back: a small file, image and network."""
    size = model.spec.input.size
    if len(data) > _SMALL_BYTES or size is None or math.prod(size) > _SMALL_PIXELS:
        return None
    try:
        return prepare_image(data, model, watch, max_pixels=min(max_pixels, _SMALL_PIXELS), run=not_yet)
    except TooManyPixels:  # a small file may hold a large image
        return None


def from_tensor(tensor: Array, model: ServedModel, watch: Stopwatch) -> PreparedImage:
    """A tensor (C, H, W) float32 that its sender has prepared: nothing is known of an image, so nothing is judged."""
    channels, height, width = tensor.shape
    info = InputInfo(width=width, height=height, channels=channels, dtype="float32", format="tensor", sha256="")
    return PreparedImage(model, Image(tensor.transpose(1, 2, 0), "tensor"), info, tensor, (), {}, watch)


def read(data: bytes, spec: ModelSpec, *, max_pixels: int) -> tuple[Image, InputInfo]:
    """A file's bytes -> Image and what the answer says of it. Raises ImageError."""
    image = _decoded(data, spec, max_pixels=max_pixels)
    if min(image.height, image.width) < spec.input.smallest_image:
        raise ImageTooSmall(width=image.width, height=image.height, minimum=spec.input.smallest_image)
    return image, InputInfo(
        width=image.width,
        height=image.height,
        channels=image.channels,
        dtype=_name(image.pixels.dtype),
        format=image.format,
        sha256=hashlib.sha256(data).hexdigest(),
    )


def _decoded(data: bytes, spec: ModelSpec, *, max_pixels: int) -> Image:
    if spec.input.kind == "signal" and spec.input.size:
        _, length = spec.input.size
        return decode_signal(data, channels=spec.input.channels, length=length, letters=spec.input.letters)
    return decode(data, max_pixels=max_pixels)


def prepare_and_judge(image: Image, spec: ModelSpec) -> tuple[Array, tuple[InputWarning, ...], dict[str, float]]:
    """Image -> tensor (C, H, W) float32, what speaks against trusting the answer, how unlike the training data it is.

    Raises NotFinite, ValuesTooLarge.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused next
        tensor = prepare(image.pixels, channels=spec.input.channels, size=spec.input.size, steps=spec.input.steps)
    check_finite(tensor, image)
    figures = figures_of(tensor, spec)
    return tensor, input_warnings(image, figures, spec), deviations(figures, spec)


def check_finite(values: Array, image: Image) -> None:
    """Raises ValuesTooLarge."""
    if not np.isfinite(values).all():
        raise ValuesTooLarge(low=float(image.pixels.min()), high=float(image.pixels.max()))
