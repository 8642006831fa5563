"""Preparation: an image's bytes -> the network's input tensor, and what every answer says of the image."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from models.decode import check_size, probe, recognised
from models.decode.signal import open_signal
from models.errors import ImageTooSmall, TooManyPixels
from models.image import Array
from models.preprocess import prepare
from models.source import Image, Source, image_of
from models.spec import ModelSpec
from service.api.answers import InputInfo, InputWarning
from service.errors import ValuesTooLarge
from service.pipeline.input_checks import deviations, figures_of, input_warnings
from service.scheduling.work import Work

_PASSES = 16  # about what decoding and preprocessing a pixel take, against going through it once
_BRIEF_BYTES = 4096
_dtype_name = cache(lambda dtype: dtype.name)  # which numpy puts together each time


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """An image and the network's input tensor (C, H, W) float32. deviations: see input_checks.deviations."""

    image: Image
    input: InputInfo
    tensor: Array
    warnings: tuple[InputWarning, ...]
    deviations: Mapping[str, float]

    @property
    def batch(self) -> Array:
        """(1, C, H, W) float32."""
        return self.tensor[None]


def prepare_image(data: bytes, spec: ModelSpec, work: Work) -> PreparedImage:
    """A file's bytes -> PreparedImage. Raises ImageError, ValuesTooLarge, ImageTooLarge, MemoryFull."""
    with work.stage("decode"):
        if spec.input.kind == "signal":
            image = image_of(_open_signal(data, spec))
        else:
            decoder = recognised(data)
            header = decoder.probe(data)
            check_size(header, max_pixels=work.max_pixels)
            work.reservation.reserve_image(header.width * header.height, spec, body_bytes=len(data))
            image = image_of(decoder.open(data, header))
        digest = hashlib.sha256(data).hexdigest()
    with work.stage("preprocess"):
        return preprocess(image, spec, sha256=digest)


def prepare_source(source: Source, spec: ModelSpec, work: Work) -> PreparedImage:
    """An open image -> PreparedImage. Raises as prepare_image does."""
    with work.stage("decode"):
        image = image_of(source)
        if (pixels := image.width * image.height) > work.max_pixels:
            raise TooManyPixels(width=image.width, height=image.height, limit=work.max_pixels)
        work.reservation.reserve_image(pixels, spec, body_bytes=image.pixels.nbytes)
    with work.stage("preprocess"):
        return preprocess(image, spec, sha256="")


def prepared_tensor(tensor: Array, spec: ModelSpec, work: Work) -> PreparedImage:
    """A tensor (C, H, W) float32 that its sender has prepared: there is no image to check."""
    channels, height, width = tensor.shape
    work.reservation.reserve_image(height * width, spec, body_bytes=tensor.nbytes)
    info = InputInfo(width=width, height=height, channels=channels, dtype="float32", format="tensor", sha256="")
    return PreparedImage(Image(tensor.transpose(1, 2, 0), "tensor"), info, tensor, (), {})


def pixel_passes(data: bytes, spec: ModelSpec) -> float:
    """Returns about how many pixels prepare_image goes through, of a small file for a small network; else infinity.

    Raises ImageError.
    """
    size = spec.input.size
    if size is None or len(data) > _BRIEF_BYTES:
        return math.inf
    pixels = math.prod(size)
    if spec.input.kind == "image":
        header = probe(data)  # a small file may hold a large image
        pixels = max(pixels, header.width * header.height)
    return _PASSES * pixels


def _open_signal(data: bytes, spec: ModelSpec) -> Source:
    length = spec.input.size[1] if spec.input.size else 0
    return open_signal(data, channels=spec.input.channels, length=length, letters=spec.input.letters)


def preprocess(image: Image, spec: ModelSpec, *, sha256: str) -> PreparedImage:
    """Applies the package's steps and checks the result. Raises ImageTooSmall, NotFinite, ValuesTooLarge."""
    if min(image.height, image.width) < spec.input.smallest_image:
        raise ImageTooSmall(width=image.width, height=image.height, minimum=spec.input.smallest_image)
    with np.errstate(over="ignore", invalid="ignore"):  # an overflow is refused next
        tensor = prepare(image.pixels, channels=spec.input.channels, size=spec.input.size, steps=spec.input.steps)
    check_finite(tensor, image)
    info = InputInfo(
        width=image.width,
        height=image.height,
        channels=image.channels,
        dtype=_dtype_name(image.pixels.dtype),
        format=image.format,
        sha256=sha256,
    )
    figures = figures_of(tensor, spec)
    return PreparedImage(image, info, tensor, input_warnings(image, figures, spec), deviations(figures, spec))


def check_finite(values: Array, image: Image) -> None:
    """Raises ValuesTooLarge."""
    if not np.isfinite(values).all():
        raise ValuesTooLarge(low=float(image.pixels.min()), high=float(image.pixels.max()))
