"""Input checks: warnings about images whose answers may be unreliable; never errors."""

from collections.abc import Iterator, Mapping
from typing import Literal

from models.evaluation import Range
from models.image import Array
from models.preprocess import intensity_figures
from models.source import Image
from models.spec import ModelSpec
from service.api.answers import InputWarning

WarningCode = Literal[
    "unlike_training_data",
    "constant_image",
    "aspect_ratio",
    "upscaled",
    "colour_discarded",
    "pixel_size_differs",
]
UPSCALE = 4.0  # an image enlarged more than this has no detail of the kind that networks learn
ASPECT = 1.5  # a resize that changes the proportions more than this changes shapes
PIXEL_SIZE = 1.5  # structures this much larger or smaller than in training look like others
NAMES = {"mean": "mean", "std": "standard deviation", "p1": "1st percentile", "p99": "99th percentile"}


def input_warnings(image: Image, figures: Mapping[str, float], spec: ModelSpec) -> tuple[InputWarning, ...]:
    """image as it was sent, figures of the tensor as the network gets it."""
    return (*_of_pixels(image, spec), *_of_size(image, spec), *_of_figures(figures, spec))


def figures_of(tensor: Array, spec: ModelSpec) -> dict[str, float]:
    """Those of a prepared tensor (C, H, W) float32 that are known of the training images, by name."""
    return intensity_figures(tensor) if spec.intensity else {}


def deviations(figures: Mapping[str, float], spec: ModelSpec) -> dict[str, float]:
    """Each figure against what 99 % of the training images have: 0 in the middle of that, -1 and 1 at its ends."""
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
