"""Facts of each example, gathered in one pass so that every file is decoded once."""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import PIL.Image
from PIL.ExifTags import Base
from scipy import ndimage
from tqdm import tqdm

from models.image import Array
from training.audit.fingerprint import Fingerprint, fingerprint
from training.data.examples import DataError, Example, Split, TaskName

Value = float | str
EXIF = (Base.Make, Base.Model, Base.Software, Base.Orientation, Base.XResolution)
FORMAT_TAGS = {
    "jfif",
    "jfif_version",
    "jfif_unit",
    "jfif_density",
    "progressive",
    "progression",
    "compression",
    "adobe",
}
FLAT = 1 / 32  # of the image's range: rows that vary less are margin, despite JPEG noise


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """Facts of one example. If it cannot be read, `image_error` or `mask_error` says why and the rest is empty.

    fingerprint: for near-duplicates; None without texture. margins: px of constant border, by side. header: metadata of
    the file. truth: the label, () or (classes,); None for a mask. present: class indices in the mask. object_sides_px:
    longer side of the box around each object in the mask.
    """

    example: Example
    split: Split
    image_error: str = ""
    mask_error: str = ""
    shape: tuple[int, ...] = ()
    dtype: str = ""
    digest: bytes = b""
    fingerprint: Fingerprint | None = None
    margins: tuple[int, int, int, int] = (0, 0, 0, 0)
    header: Mapping[str, Value] = field(default_factory=dict)
    truth: Array | None = None
    present: frozenset[int] = frozenset()
    object_sides_px: tuple[int, ...] = ()


def gather_facts(parts: Mapping[Split, Sequence[Example]], *, task: TaskName) -> list[ImageFacts]:
    """Reads every example of every split once, on all cores, because decoders release Python's lock."""
    examples_by_split = [(example, split) for split, examples in parts.items() for example in examples]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        facts: Iterable[ImageFacts] = pool.map(lambda each: inspect_example(*each, task=task), examples_by_split)
        return list(tqdm(facts, total=len(examples_by_split), desc="audit", unit="image", disable=None))


def inspect_example(example: Example, split: Split, *, task: TaskName) -> ImageFacts:
    try:
        image = example.image()
    except DataError as error:
        return ImageFacts(example, split, image_error=str(error))
    try:
        truth = example.truth()
        mask = truth if truth.ndim == 2 else None
        if mask is not None and mask.shape != image.shape[:2]:
            raise DataError(f"{example.name}: the mask is {mask.shape}, its image {image.shape[:2]} (H, W).")
    except DataError as error:
        return ImageFacts(example, split, mask_error=str(error))
    return ImageFacts(
        example,
        split,
        shape=image.shape,
        dtype=str(image.dtype),
        digest=hashlib.blake2b(image.tobytes() + repr((image.shape, image.dtype)).encode(), digest_size=16).digest(),
        fingerprint=fingerprint(image),
        margins=margins(image),
        header=header(example.file) if example.file else {},
        truth=truth if mask is None else None,
        present=classes_in(mask, task=task) if mask is not None else frozenset(),
        object_sides_px=object_sides(mask, task=task) if mask is not None else (),
    )


def margins(image: Array) -> tuple[int, int, int, int]:
    """Returns the px of constant border at top, bottom, left and right of an image (H, W, C)."""
    height, width, channels = image.shape
    highest, lowest = image.max(axis=0), image.min(axis=0)  # (W, C)
    rows = image.reshape(height, width * channels)
    flat = FLAT * (float(highest.max()) - float(lowest.min()))
    varies = (
        rows.max(axis=1).astype(float) - rows.min(axis=1) > flat,  # (H,)
        highest.max(axis=1).astype(float) - lowest.min(axis=1) > flat,  # (W,)
    )
    (top, bottom), (left, right) = map(_ends, varies)
    return top, bottom, left, right


def _ends(varies: Array) -> tuple[int, int]:
    """Counts the False values at either end of (n,) bool."""
    where = np.flatnonzero(varies)
    return (int(where[0]), len(varies) - 1 - int(where[-1])) if where.size else (len(varies), len(varies))


def header(file: Path) -> dict[str, Value]:
    """Reads a file's metadata: format, compression, resolution, device."""
    fields: dict[str, Value] = {"suffix": file.suffix.lower()}
    try:
        with PIL.Image.open(file) as picture:
            fields |= {"format": str(picture.format), "mode": picture.mode}
            tables = getattr(picture, "quantization", None) or {}
            fields["quality"] = float(sum(map(sum, tables.values())))
            fields["kinds of tags"] = " ".join(sorted({str(tag) for tag in picture.info} - FORMAT_TAGS))
            fields["dots_per_inch"] = str(picture.info.get("dpi"))
            exif = picture.getexif()
            fields |= {tag.name: str(exif.get(tag)) for tag in EXIF}
    except (OSError, SyntaxError, ValueError):  # Pillow reads fewer TIFFs than our decoder
        return fields
    return fields


def classes_in(mask: Array, *, task: TaskName) -> frozenset[int]:
    """Returns the classes in a mask (H, W) of indices or bits; none for object numbers."""
    values = np.unique(mask).tolist() if task != "instance" else []
    if task == "multilabel_semantic":
        return frozenset(bit for value in values for bit in range(value.bit_length()) if value >> bit & 1)
    return frozenset(values)


def object_sides(mask: Array, *, task: TaskName) -> tuple[int, ...]:
    """Returns the longer side in px of each object's box; connected pixels of a class form an object."""
    classes = classes_in(mask, task=task)
    where = [
        mask >> c & 1 if task == "multilabel_semantic" else mask == c
        for c in classes
        if c or task == "multilabel_semantic"
    ]
    layers = [mask] if task == "instance" else [ndimage.label(one)[0] for one in where]
    boxes = [box for layer in layers for box in ndimage.find_objects(layer) if box]
    return tuple(max(part.stop - part.start for part in box) for box in boxes)
