"""What every loader returns: examples that are read when asked for, and errors that name the file."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from models.decode import decode
from models.errors import ImageError
from models.image import Array

Split = Literal["train", "validation", "test"]
MAX_PIXELS = 400_000_000


class DataError(Exception):
    """The data set cannot be used as it is; the message names the file."""


@dataclass(frozen=True, slots=True)
class Example:
    """One image and its truth.

    name: unique, shown in errors and reports. group: what must not stand on two sides of a split (a patient).
    stratum: what every split should have its share of. split: where the data set itself puts it, None if it does not.
    image() -> (H, W, C) in native dtype. truth() -> a class index () int64, or (classes,) float32 of 0 and 1 where
    several may be present, or a mask (H, W) int32: of class indices, or of object numbers with 0 for background.
    """

    name: str
    group: str
    stratum: str
    split: Split | None
    image: Callable[[], Array]
    truth: Callable[[], Array]


@dataclass(frozen=True, slots=True)
class DataSet:
    """All examples of a data set, and the labels of its classes in the order of their indices."""

    examples: tuple[Example, ...]
    classes: tuple[str, ...]


class Loader(BaseModel):
    """A recipe's [data] table; each kind of data has its own subclass with `load()`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def load(self) -> DataSet:
        """Raises DataError, naming the file, for what is missing or does not fit together."""
        raise NotImplementedError


def read_image(path: Path) -> Array:
    """A file -> (H, W, C) in native dtype, by the same decoders as the service."""
    try:
        return decode(path.read_bytes(), max_pixels=MAX_PIXELS).pixels
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}.") from error
    except ImageError as error:
        raise DataError(f"{path}: {error}") from error


def check_mask(mask: Array, image: Array, *, name: str) -> Array:
    """Returns the mask (H, W); raises DataError where it is not as high and wide as its image."""
    if mask.shape != image.shape[:2]:
        (mask_height, mask_width), (height, width) = mask.shape[:2], image.shape[:2]
        raise DataError(f"{name}: the mask is {mask_width} x {mask_height}, its image {width} x {height} pixels.")
    return mask


def constant(value: int | Array) -> Callable[[], Array]:
    """A truth that is known without reading a file."""
    array = np.asarray(value)
    return lambda: array
