"""Preparation: an image's bytes -> the network's input tensor, and what every answer says of it, warnings included."""

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Literal

import numpy as np

from models.decode import Probe, check, check_size, passes, probe, recognised
from models.decode.signal import open_signal
from models.errors import DamagedImage, ImageTooSmall, quoted
from models.evaluation import Range
from models.image import Array
from models.preprocess import intensity_figures, prepare
from models.source import Image, Source, image_of
from models.spec import ModelSpec
from service.api.answers import InputInfo, InputWarning
from service.errors import ValuesTooLarge
from service.inference import InferenceFailed
from service.sandbox.decoders import Decoders
from service.scheduling.work import Work

WarningCode = Literal[
    "unlike_training_data",
    "constant_image",
    "aspect_ratio",
    "upscaled",
    "colour_discarded",
    "pixel_size_differs",
    "damaged_image",
]
UPSCALE = 4.0  # an image enlarged more than this has no detail of the kind that networks learn
ASPECT = 1.5  # a resize that changes the proportions more than this changes shapes
PIXEL_SIZE = 1.5  # structures this much larger or smaller than in training look like others
NAMES = {"mean": "mean", "std": "standard deviation", "p1": "1st percentile", "p99": "99th percentile"}
# About what decoding and preprocessing a pixel take, against going through it once; and preprocessing where the network
# sees every pixel, for percentiles of three channels.
_PASSES, _WHOLE_PASSES = 16, 240
_BRIEF_BYTES = 4096
_ONE = 1 + 1e-3  # a probability, rounded
_WITH_ALPHA = 4  # channels that a file in colour may have
_SMALL_BYTES = _SMALL_PASSES = 2**20  # up to here a file is decoded in this process, which takes some ms at most
SMALL_PIXELS = _PASSES * _SMALL_PASSES
_dtype_name = cache(lambda dtype: dtype.name)  # which numpy puts together each time


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """An image and the network's input tensor (C, H, W) float32. deviations: see deviations_of."""

    image: Image
    input: InputInfo
    tensor: Array
    warnings: tuple[InputWarning, ...]
    deviations: Mapping[str, float]

    @property
    def batch(self) -> Array:
        """(1, C, H, W) float32."""
        return self.tensor[None]


def prepare_image(data: bytes, spec: ModelSpec, work: Work, decoders: Decoders) -> PreparedImage:
    """A file's bytes -> PreparedImage.

    Raises ImageError, ValuesTooLarge, ImageTooLarge, MemoryFull, DeadlinePassed, SandboxFailed.
    """
    return prepare_small(data, spec, work) or _prepare_large(data, spec, work, decoders)


def prepare_small(data: bytes, spec: ModelSpec, work: Work, header: Probe | None = None) -> PreparedImage | None:
    """Does the same for a file that decodes sooner than another process could begin to; else returns None.

    header: if it has been read. Raises ImageError, ValuesTooLarge, ImageTooLarge, MemoryFull.
    """
    with work.stage("decode"):
        if spec.input.kind == "signal":
            image = image_of(_open_signal(data, spec))
        elif header := _small_header(data, header):
            _admit(header, spec, work, body_bytes=len(data))
            image = image_of(recognised(data).open(data, header))
        else:
            return None
    return _prepare(image, data, spec, work)


def _prepare_large(data: bytes, spec: ModelSpec, work: Work, decoders: Decoders) -> PreparedImage:
    admit = partial(_admit, spec=spec, work=work, body_bytes=len(data))
    with work.stage("decode"), decoders.opened(data, work.deadline, admit=admit) as source:
        image = image_of(source)
    return _prepare(image, data, spec, work)


def _prepare(image: Image, data: bytes, spec: ModelSpec, work: Work) -> PreparedImage:
    with work.stage("decode"):
        if image.damage and not work.tolerates_damage:
            raise DamagedImage(image.format, image.damage)
        digest = hashlib.sha256(data).hexdigest()
    work.check(image.height * image.width * (_PASSES if spec.input.size else _WHOLE_PASSES))
    with work.stage("preprocess"):
        return preprocess(image, spec, sha256=digest)


def prepare_source(source: Source, spec: ModelSpec, work: Work) -> PreparedImage:
    """An open image -> PreparedImage. Raises as prepare_image does."""
    with work.stage("decode"):
        image = image_of(source)
        check_size((image.width, image.height), max_pixels=work.max_pixels)
        pixels, nbytes = image.width * image.height, image.pixels.nbytes
        work.reservation.reserve_image(pixels, spec, pixel_bytes=nbytes // pixels, body_bytes=nbytes)
    with work.stage("preprocess"):
        return preprocess(image, spec, sha256="")


def prepared_tensor(tensor: Array, spec: ModelSpec, work: Work) -> PreparedImage:
    """A tensor (C, H, W) float32 that its sender has prepared: there is no image to check."""
    channels, height, width = tensor.shape
    work.reservation.reserve_image(height * width, spec, pixel_bytes=4 * channels, body_bytes=tensor.nbytes)
    info = InputInfo(width=width, height=height, channels=channels, dtype="float32", format="tensor", sha256="")
    return PreparedImage(Image(tensor.transpose(1, 2, 0), "tensor"), info, tensor, (), {})


def _small_header(data: bytes, header: Probe | None) -> Probe | None:
    if len(data) > _SMALL_BYTES:
        return None
    header = header or probe(data)
    return header if passes(header) <= _SMALL_PASSES else None


def _admit(header: Probe, spec: ModelSpec, work: Work, *, body_bytes: int) -> None:
    """Raises TooManyPixels, TooCostly, ImageTooLarge, MemoryFull."""
    check(header, max_pixels=work.max_pixels)
    pixel_bytes = np.dtype(header.dtype).itemsize * (1 if header.channels == 1 else _WITH_ALPHA)
    work.reservation.reserve_image(header.width * header.height, spec, pixel_bytes=pixel_bytes, body_bytes=body_bytes)


def pixel_passes(data: bytes, spec: ModelSpec) -> tuple[float, Probe | None]:
    """Returns about how many pixels prepare_small goes through, at most SMALL_PIXELS; infinity for a large file.

    And the header, where it had to be read for that. Raises ImageError.
    """
    size = spec.input.size
    if size is None or len(data) > _BRIEF_BYTES:
        return SMALL_PIXELS if len(data) <= _SMALL_BYTES or spec.input.kind == "signal" else math.inf, None
    if spec.input.kind != "image":
        return _PASSES * math.prod(size), None
    header = probe(data)  # a small file may hold a large image
    return _PASSES * max(math.prod(size), passes(header)), header


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
    size, dtype = {"width": image.width, "height": image.height}, _dtype_name(image.pixels.dtype)
    info = InputInfo(**size, channels=image.channels, dtype=dtype, format=image.format, sha256=sha256)
    figures = figures_of(tensor, spec)
    return PreparedImage(image, info, tensor, input_warnings(image, figures, spec), deviations_of(figures, spec))


def check_finite(values: Array, image: Image) -> None:
    """Raises ValuesTooLarge."""
    if not np.isfinite(values).all():
        raise ValuesTooLarge(low=float(image.pixels.min()), high=float(image.pixels.max()))


def check_output(output: Array, name: str, spec: ModelSpec, tensor: Array, image: Image) -> None:
    """Checks what a network made of a tensor (C, H, W). Raises ValuesTooLarge, InferenceFailed."""
    shape = spec.fixed_shapes.get(name) or spec.output_shape(name, (tensor.shape[1], tensor.shape[2]))
    if output.shape != (1, *shape):
        raise InferenceFailed(f"The network's {name} is {quoted(output.shape)}; rdf.yaml describes {(1, *shape)}.")
    are_probabilities = name == spec.names["probabilities"]
    if not (are_probabilities and 0 <= output.min() <= output.max() <= _ONE):
        check_finite(output, image)
        if are_probabilities:
            raise InferenceFailed(f"The network's {name} are not between 0 and 1.")


def input_warnings(image: Image, figures: Mapping[str, float], spec: ModelSpec) -> tuple[InputWarning, ...]:
    """Returns the reasons why an answer may be unreliable. image: as it was sent. figures: of the prepared tensor."""
    found = (*_of_pixels(image, spec), *_of_size(image, spec), *_of_figures(figures, spec))
    if image.damage:
        return (*found, _warning("damaged_image", str(DamagedImage(image.format, image.damage))))
    return found


def figures_of(tensor: Array, spec: ModelSpec) -> dict[str, float]:
    """Computes the intensity figures of a prepared tensor (C, H, W) float32, if the package has any to compare with."""
    return intensity_figures(tensor) if spec.intensity else {}


def deviations_of(figures: Mapping[str, float], spec: ModelSpec) -> dict[str, float]:
    """Scales each figure to the range of 99 % of the training images: 0 is its middle, -1 and 1 are its ends."""
    found: dict[str, float] = {}
    for name, value in figures.items():
        usual: Range = getattr(spec.intensity, name)
        half = (usual.high - usual.low) / 2
        if half > 0:
            found[name] = (value - usual.low) / half - 1
    return found


def _of_pixels(image: Image, spec: ModelSpec) -> Iterator[InputWarning]:
    pixels = image.pixels
    if pixels.min() == pixels.max():
        yield _warning("constant_image", f"Every pixel of the image is {pixels.flat[0].item():g}.")
    if spec.input.channels == 1 and any((pixels[:, :, 0] != pixels[:, :, c]).any() for c in range(1, image.channels)):
        yield _warning("colour_discarded", "The image is in colour; this model sees its luma only.")


def _of_size(image: Image, spec: ModelSpec) -> Iterator[InputWarning]:
    if spec.input.size is not None:
        height, width = spec.input.size
        scale_y, scale_x = height / image.height, width / image.width
        sizes = f"from {image.width} x {image.height} to {width} x {height} pixels"
        if max(scale_x, scale_y) > UPSCALE:
            yield _warning("upscaled", f"The image was enlarged {sizes}.")
        if max(scale_x / scale_y, scale_y / scale_x) > ASPECT:
            yield _warning("aspect_ratio", f"The image's proportions were changed: {sizes}.")
    elif image.pixel_size_um and spec.pixel_size_um:
        ratio = image.pixel_size_um / spec.pixel_size_um
        if max(ratio, 1 / ratio) > PIXEL_SIZE:
            message = f"A pixel is {image.pixel_size_um:g} um; the model learned from {spec.pixel_size_um:g} um."
            yield _warning("pixel_size_differs", message)


def _of_figures(figures: Mapping[str, float], spec: ModelSpec) -> Iterator[InputWarning]:
    for name, value in figures.items():
        usual: Range = getattr(spec.intensity, name)
        if not usual.low <= value <= usual.high:
            message = (
                f"The {NAMES[name]} of the prepared image is {value:.4g}; "
                f"99 % of the training images lie between {usual.low:.4g} and {usual.high:.4g}."
            )
            yield _warning("unlike_training_data", message)


def _warning(code: WarningCode, message: str) -> InputWarning:
    return InputWarning(code=code, message=message)
