"""Loader of the 2018 Data Science Bowl: <id>/images/<id>.png, <id>/masks/*.png, one object each (Caicedo 2019)."""

import zipfile
import zlib
from collections import defaultdict
from functools import cache, partial
from pathlib import Path
from typing import Literal

import numpy as np

from models.decode import open_source
from models.errors import ImageError
from models.image import Array
from models.source import image_of
from training.data.examples import MAX_PIXELS, DataError, DataSet, Example, Loader, check_mask


class DataScienceBowl(Loader):
    """Loader settings. path: folder of <id> folders, or Kaggle's zip file of it.

    The stratum is the background (dark or bright) and size of an image, which are balanced over the splits.
    """

    loader: Literal["data_science_bowl"]
    path: Path
    label: str = "nucleus"

    def load(self) -> DataSet:
        files = _files(self.path)
        parts: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for name in files:
            *_, sample, kind, file = ("", "", *name.split("/"))
            if kind in ("images", "masks") and file.endswith(".png") and not file.startswith("."):
                parts[sample][kind].append(name)
        if not parts:
            raise DataError(f"{self.path}: no <id>/images/*.png.")
        examples = [self._example(sample, kinds) for sample, kinds in sorted(parts.items())]
        return DataSet(tuple(examples), (self.label,))

    def _example(self, sample: str, kinds: dict[str, list[str]]) -> Example:
        if len(kinds["images"]) != 1 or not kinds["masks"]:
            raise DataError(
                f"{self.path}: {sample} has {len(kinds['images'])} images and {len(kinds['masks'])} masks;"
                " it needs one image and one mask per object."
            )
        image = _read(self.path, kinds["images"][0])
        height, width = image.shape[:2]
        return Example(
            name=sample,
            group=sample,
            stratum=f"{background(image)} {width}x{height}",
            split=None,
            image=partial(_read, self.path, kinds["images"][0]),
            truth=partial(_objects, self.path, tuple(kinds["masks"]), image.shape[:2]),
        )


def background(image: Array) -> Literal["dark", "bright"]:
    """Classifies an image (H, W, C) uint8 as dark (fluorescence) or bright (stained tissue, brightfield)."""
    return "dark" if np.median(image) < 128 else "bright"


@cache
def _files(path: Path) -> tuple[str, ...]:
    if path.is_file():
        return tuple(sorted(_archive(path).namelist()))
    if not path.is_dir():
        raise DataError(f"{path}: no such folder or zip file.")
    return tuple(sorted(file.relative_to(path).as_posix() for file in path.rglob("*.png")))


@cache
def _archive(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: {error}.") from error


def _read(path: Path, name: str) -> Array:
    try:
        data = _archive(path).read(name) if path.is_file() else (path / name).read_bytes()
        return image_of(open_source(data, max_pixels=MAX_PIXELS)).pixels
    except (OSError, zipfile.BadZipFile, zlib.error, ImageError) as error:
        raise DataError(f"{path}: {name}: {error}") from error


def _objects(path: Path, names: tuple[str, ...], size: tuple[int, int]) -> Array:
    """Combines one-object masks: (H, W) int32, 0 background, 1 ... n the objects in the order of file names."""
    labels = np.zeros(size, dtype=np.int32)
    for number, name in enumerate(names, start=1):
        mask = _read(path, name)[:, :, 0]
        labels[check_mask(mask, labels, name=name) > 0] = number
    return labels
