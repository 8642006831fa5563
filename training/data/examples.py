"""What every loader returns: examples that are read when asked for, and errors that name the file."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict

from models.decode import FORMATS, listed, open_source
from models.errors import ImageError
from models.image import Array
from models.source import image_of
from training.mistakes import Mistake

Split = Literal["train", "validation", "test"]
TaskName = Literal["classes", "labels", "regions", "overlapping", "boundaries", "objects"]
SPLITS: dict[str, Split] = {
    "train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"
}  # fmt: skip
SUFFIXES = {extension for format in FORMATS for extension in format.extensions}
MAX_PIXELS = 400_000_000


def _has_group(pattern: str) -> str:
    try:
        if re.compile(pattern).groups < 1:
            raise ValueError(f"{pattern!r} has no group: put the part that names the patient in parentheses")
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
    return pattern


GroupPattern = Annotated[str, AfterValidator(_has_group)]  # its group named patient, or else its first, is the patient


def group_of(file: str, pattern: str | None, *, otherwise: str) -> str:
    """The part of a file's name that the pattern's group "patient", or else its first, matches, or `otherwise`."""
    match = re.search(pattern, file) if pattern else None
    return (match and match["patient" if "patient" in match.re.groupindex else 1]) or otherwise


def columns_of(file: str, pattern: str | None) -> dict[str, str]:
    """What the pattern's named groups match in a file's name, by their names: (?P<site>[A-Z]+) tells the site."""
    match = re.search(pattern, file) if pattern else None
    return {name: text for name, text in match.groupdict().items() if text} if match else {}


class DataError(Mistake):
    """The data set cannot be used as it is; the message names the file."""


@dataclass(frozen=True, slots=True)
class Example:
    """One image and its truth.

    name: unique, shown in errors and reports. group: what must not stand on two sides of a split (a patient).
    stratum: what every split should have its share of. split: where the data set itself puts it, None if it does not.
    image() -> (H, W, C) in native dtype. truth() -> a class index () int64, or (classes,) float32 of 0 and 1 where
    several may be present, or a mask (H, W) int32: of class indices, of bits where classes overlap (bit c for class c),
    or of object numbers with 0 for background.
    columns: what else is known of it, such as site, scanner or sex, by which training.evaluate --by divides.
    """

    name: str
    group: str
    stratum: str
    split: Split | None
    image: Callable[[], Array]
    truth: Callable[[], Array]
    columns: Mapping[str, str] = field(default_factory=dict)

    @property
    def file(self) -> Path | None:
        """Where the image is partial(read_image, path), that path: the audit looks at the file's header."""
        read = self.image
        return read.args[0] if isinstance(read, partial) and read.func is read_image else None


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


def image_files(folder: Path) -> list[Path]:
    """A folder's image files by name; hidden ones do not count. Raises DataError where there is none."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder.")
    files = sorted(f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES and not f.name.startswith("."))
    if not files:
        raise DataError(f"{folder}: it holds no image; {listed(FORMATS)} files count.")
    return files


def read_image(path: Path) -> Array:
    """A file -> (H, W, C) in native dtype, by the same decoders as the service."""
    try:
        return image_of(open_source(path.read_bytes(), max_pixels=MAX_PIXELS)).pixels
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
