"""One look at each example: what every check needs to know of it, so that a file is decoded once."""

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
OF_FORMAT = {"jfif", "jfif_version", "jfif_unit", "jfif_density", "progressive", "progression", "compression", "adobe"}
FLAT = 1 / 32  # of the image's range: a row that varies less is margin, though JPEG has touched it


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one example; where it could not be read, `trouble` says why and the rest is empty.

    looks: how near-duplicates are found; None for an image without texture. margins: px of constant border, by side.
    header: what the file says beside its pixels. truth: what the label is, () or (classes,), for a mask None. present:
    class indices in its mask. sides: px, the longer side of the box around each object in its mask.
    """

    example: Example
    split: Split
    trouble: str = ""
    mask_trouble: str = ""
    shape: tuple[int, ...] = ()
    dtype: str = ""
    digest: bytes = b""
    looks: Fingerprint | None = None
    margins: tuple[int, int, int, int] = (0, 0, 0, 0)
    header: Mapping[str, Value] = field(default_factory=dict)
    truth: Array | None = None
    present: frozenset[int] = frozenset()
    sides: tuple[int, ...] = ()


def gather(parts: Mapping[Split, Sequence[Example]], *, task: TaskName) -> list[Facts]:
    """Every example of every split, read once, as many at a time as there are cores; decoders release Python's lock."""
    every = [(example, split) for split, examples in parts.items() for example in examples]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found: Iterable[Facts] = pool.map(lambda each: look(*each, task=task), every)
        return list(tqdm(found, total=len(every), desc="audit", unit="image", disable=None))


def look(example: Example, split: Split, *, task: TaskName) -> Facts:
    try:
        image = example.image()
    except DataError as error:
        return Facts(example, split, trouble=str(error))
    try:
        truth = example.truth()
        mask = truth if truth.ndim == 2 else None
        if mask is not None and mask.shape != image.shape[:2]:
            raise DataError(f"{example.name}: the mask is {mask.shape}, its image {image.shape[:2]} (H, W).")
    except DataError as error:
        return Facts(example, split, mask_trouble=str(error))
    return Facts(
        example,
        split,
        shape=image.shape,
        dtype=str(image.dtype),
        digest=hashlib.blake2b(image.tobytes() + repr((image.shape, image.dtype)).encode(), digest_size=16).digest(),
        looks=fingerprint(image),
        margins=margins(image),
        header=header(example.file) if example.file else {},
        truth=truth if mask is None else None,
        present=classes_in(mask, task=task) if mask is not None else frozenset(),
        sides=object_sides(mask, task=task) if mask is not None else (),
    )


def margins(image: Array) -> tuple[int, int, int, int]:
    """(H, W, C) -> px of top, bottom, left and right border in which no row or column varies."""
    height, width, channels = image.shape
    highest, lowest = image.max(axis=0), image.min(axis=0)  # (W, C)
    rows = image.reshape(height, width * channels)
    flat = FLAT * (float(highest.max()) - float(lowest.min()))
    varying = (
        rows.max(axis=1).astype(float) - rows.min(axis=1) > flat,  # (H,)
        highest.max(axis=1).astype(float) - lowest.min(axis=1) > flat,  # (W,)
    )
    (top, bottom), (left, right) = map(_ends, varying)
    return top, bottom, left, right


def _ends(varies: Array) -> tuple[int, int]:
    """(n,) bool -> how many at either end are False."""
    where = np.flatnonzero(varies)
    return (int(where[0]), len(varies) - 1 - int(where[-1])) if where.size else (len(varies), len(varies))


def header(file: Path) -> dict[str, Value]:
    """What a file says beside its pixels: format, compression, resolution, and who made it."""
    known: dict[str, Value] = {"suffix": file.suffix.lower()}
    try:
        with PIL.Image.open(file) as picture:
            known |= {"format": str(picture.format), "mode": picture.mode}
            tables = getattr(picture, "quantization", None) or {}
            known["quality"] = float(sum(map(sum, tables.values())))
            known["kinds of tags"] = " ".join(sorted({str(tag) for tag in picture.info} - OF_FORMAT))
            known["dots_per_inch"] = str(picture.info.get("dpi"))
            exif = picture.getexif()
            known |= {tag.name: str(exif.get(tag)) for tag in EXIF}
    except (OSError, SyntaxError, ValueError):  # Pillow reads fewer TIFFs than our decoder; then these stay unknown
        return known
    return known


def classes_in(mask: Array, *, task: TaskName) -> frozenset[int]:
    """(H, W) class indices, or bits of classes that overlap -> the classes; none of object numbers."""
    values = np.unique(mask).tolist() if task != "instance" else []
    if task == "multilabel_semantic":
        return frozenset(bit for value in values for bit in range(value.bit_length()) if value >> bit & 1)
    return frozenset(values)


def object_sides(mask: Array, *, task: TaskName) -> tuple[int, ...]:
    """(H, W) object numbers, or classes whose connected pixels are an object -> each box's longer side, px."""
    known = classes_in(mask, task=task)
    where = [
        mask >> c & 1 if task == "multilabel_semantic" else mask == c
        for c in known
        if c or task == "multilabel_semantic"
    ]
    layers = [mask] if task == "instance" else [ndimage.label(one)[0] for one in where]
    boxes = [box for layer in layers for box in ndimage.find_objects(layer) if box]
    return tuple(max(part.stop - part.start for part in box) for box in boxes)
