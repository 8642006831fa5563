"""Loader of MedMNIST .npz files: {train,val,test}_{images,labels} (Yang 2023, Scientific Data 10:41)."""

import zipfile
import zlib
from pathlib import Path
from typing import Literal

import numpy as np

from models.image import Array
from training.data.examples import DataError, DataSet, Example, Loader, Split, constant

SPLITS: dict[str, Split] = {"train": "train", "val": "validation", "test": "test"}


class MedMNIST(Loader):
    """Loader settings. path: the .npz file. labels: class names in the order of their indices (default "0", "1", ...).

    images (N, H, W) or (N, H, W, 3) uint8; labels (N, 1) class indices, or (N, classes) of 0 and 1 if several may be
    present. The files do not identify patients, so every image is its own group.
    """

    loader: Literal["medmnist"]
    path: Path
    labels: tuple[str, ...] = ()

    def load(self) -> DataSet:
        arrays = _arrays(self.path)
        parts = {name: self._part(arrays, name) for name in SPLITS}
        truths = np.concatenate([truth for _, truth in parts.values()])  # (N,) or (N, classes)
        present: Array = truths.max(axis=0) > 0 if truths.ndim == 2 else np.bincount(truths) > 0  # (classes,)
        classes = self.labels or tuple(str(i) for i in range(len(present)))
        if len(classes) != len(present):
            raise DataError(f"{self.path}: {len(present)} classes, but the recipe has {len(classes)}: {classes}.")
        for label, shown in zip(classes, present):
            if not shown:
                raise DataError(f"{self.path}: no image of class {label!r}.")
        examples = [
            _example(f"{name}/{i}", SPLITS[name], image, truth)
            for name, (images, truths) in parts.items()
            for i, (image, truth) in enumerate(zip(images, truths))
        ]
        return DataSet(tuple(examples), classes)

    def _part(self, arrays: dict[str, Array], name: str) -> tuple[Array, Array]:
        """Returns images (N, H, W, C) and truths, (N,) int64 or (N, classes) float32."""
        try:
            images, labels = arrays[f"{name}_images"], arrays[f"{name}_labels"]
        except KeyError as error:
            raise DataError(f"{self.path}: no array {error}; arrays are {sorted(arrays)}.") from error
        if images.ndim == 3:
            images = images[..., None]
        if images.ndim != 4 or images.shape[3] not in (1, 3):
            raise DataError(f"{self.path}: {name}_images is {images.shape}; (N, H, W) or (N, H, W, 3) is needed.")
        labels = labels.reshape(len(labels), -1)
        if len(labels) != len(images) or not labels.size:
            raise DataError(f"{self.path}: {name} has {len(images)} images and {len(labels)} labels.")
        if labels.dtype.kind not in "iu" or labels.min() < 0 or (labels.shape[1] > 1 and labels.max() > 1):
            raise DataError(
                f"{self.path}: {name}_labels has {labels.dtype} values that are neither indices nor 0 and 1."
            )
        return images, labels[:, 0].astype(np.int64) if labels.shape[1] == 1 else labels.astype(np.float32)


def _arrays(path: Path) -> dict[str, Array]:
    try:
        with path.open("rb") as content, np.load(content, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: cannot be read as .npz: {error}.") from error


def _example(name: str, split: Split, image: Array, truth: Array) -> Example:
    stratum = "".join(str(int(value)) for value in np.atleast_1d(truth))
    return Example(name=name, group=name, stratum=stratum, split=split, image=constant(image), truth=constant(truth))
