"""Examples, which loaders return and which read their files on demand; errors that name the file."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict

from models.decode import FORMATS, listed, open_source
from models.errors import ImageError
from models.image import Array
from models.source import image_of
from training.user_errors import UserError

Split = Literal["train", "validation", "test"]
TaskName = Literal["multiclass", "multilabel", "semantic", "multilabel_semantic", "boundaries", "instance"]
SPLITS: dict[str, Split] = {
    "train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"
}  # fmt: skip
SUFFIXES = {extension for format in FORMATS for extension in format.extensions}
MAX_PIXELS = 400_000_000


def _has_group(pattern: str) -> str:
    try:
        if re.compile(pattern).groups < 1:
            raise ValueError(f"{pattern!r} has no group: put the part that identifies the patient in parentheses")
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
    return pattern


GroupPattern = Annotated[
    str, AfterValidator(_has_group)
]  # the group named patient, or else the first, identifies the patient


def group_of(file: str, pattern: str | None, *, otherwise: str) -> str:
    """Returns what the pattern's group "patient", or else its first, matches in a file name; or `otherwise`."""
    match = re.search(pattern, file) if pattern else None
    return (match and match["patient" if "patient" in match.re.groupindex else 1]) or otherwise


def columns_of(file: str, pattern: str | None) -> dict[str, str]:
    """Returns what the pattern's named groups match in a file name, such as (?P<site>[A-Z]+) for the site."""
    match = re.search(pattern, file) if pattern else None
    return {name: text for name, text in match.groupdict().items() if text} if match else {}


class DataError(UserError):
    """The data set cannot be used; the message names the file."""


@dataclass(frozen=True, slots=True)
class Example:
    """One image and its truth.

    name: unique, shown in errors and reports. group: stays together in a split (a patient). stratum: is balanced over
    splits. split: of the data set itself, if it has one. image() -> (H, W, C) in native dtype. truth() -> a class index
    () int64; or (classes,) float32 of 0 and 1 if several may be present; or a mask (H, W) int32 of class indices, of
    bits if classes overlap (bit c for class c), or of object numbers with background 0. columns: metadata such as site,
    scanner or sex, for training.evaluate --by.
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
        """The image's path if `image` is partial(read_image, path), for the audit of its metadata."""
        read = self.image
        return read.args[0] if isinstance(read, partial) and read.func is read_image else None


@dataclass(frozen=True, slots=True)
class DataSet:
    """The examples of a data set, and its class labels in the order of their indices."""

    examples: tuple[Example, ...]
    classes: tuple[str, ...]


class Loader(BaseModel):
    """A recipe's [data] table; each layout is a subclass with `load()`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def load(self) -> DataSet:
        """Loads the data set. Raises DataError for missing or inconsistent files."""
        raise NotImplementedError


def image_files(folder: Path) -> list[Path]:
    """Lists a folder's image files by name, without hidden files. Raises DataError if there are none."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder.")
    files = sorted(f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES and not f.name.startswith("."))
    if not files:
        raise DataError(f"{folder}: no image; {listed(FORMATS)} files count.")
    return files


def read_image(path: Path) -> Array:
    """Reads an image (H, W, C) in native dtype, with the decoders of the service."""
    try:
        return image_of(open_source(path.read_bytes(), max_pixels=MAX_PIXELS)).pixels
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}.") from error
    except ImageError as error:
        raise DataError(f"{path}: {error}") from error


def check_mask(mask: Array, image: Array, *, name: str) -> Array:
    """Returns the mask (H, W). Raises DataError if its size is not that of its image."""
    if mask.shape != image.shape[:2]:
        (mask_height, mask_width), (height, width) = mask.shape[:2], image.shape[:2]
        raise DataError(f"{name}: the mask is {mask_width} x {mask_height}, its image {width} x {height} pixels.")
    return mask


def constant(value: int | np.integer[Any] | Array) -> Callable[[], Array]:
    """Returns a function that returns this value, for images and truths that are in memory."""
    array = np.asarray(value)
    return lambda: array
