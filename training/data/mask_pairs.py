"""Loader of image and mask folders: images/<stem>.* and masks/<stem>.*, one mask per image."""

from functools import partial
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from models.image import Array
from training.data.examples import (
    DataError,
    DataSet,
    Example,
    GroupPattern,
    Loader,
    check_mask,
    columns_of,
    group_of,
    image_files,
    read_image,
)


class MaskPairs(Loader):
    """Loader settings. images, masks: folders in `path`; an image and its mask have the same stem.

    Either classes: label -> value in the masks, background included, as in {background = 0, membrane = 255}; or
    objects: the label of numbered objects, 0 for background. group: regular expression, searched in the file name,
    whose first group is the patient; otherwise every image is its own group. Named groups become columns for evaluation
    by subgroup.
    """

    loader: Literal["mask_pairs"]
    path: Path
    images: Path = Path("images")
    masks: Path = Path("masks")
    classes: Annotated[dict[str, int], Field(min_length=2)] | None = None
    objects: str | None = Field(default=None, min_length=1)
    group: GroupPattern | None = None

    @model_validator(mode="after")
    def _check_meaning(self) -> Self:
        if (self.classes is None) == (self.objects is None):
            raise ValueError("set either classes or objects: masks contain one of the two")
        if self.classes and len(set(self.classes.values())) != len(self.classes):
            raise ValueError(f"two classes have the same mask value: {self.classes}")
        return self

    def load(self) -> DataSet:
        masks = _by_stem(self.path / self.masks)
        examples = []
        for stem, image in _by_stem(self.path / self.images).items():
            if stem not in masks:
                raise DataError(f"{image}: no mask {self.path / self.masks / stem}.*")
            examples.append(self._example(image, masks[stem]))
        return DataSet(tuple(examples), tuple(self.classes) if self.classes else (str(self.objects),))

    def _example(self, image: Path, mask: Path) -> Example:
        return Example(
            name=image.name,
            group=group_of(image.name, self.group, otherwise=image.name),
            stratum="",
            split=None,
            image=partial(read_image, image),
            truth=partial(_truth, image, mask, tuple(self.classes.values()) if self.classes else None),
            columns=columns_of(image.name, self.group),
        )


def _by_stem(folder: Path) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for file in image_files(folder):
        if files.setdefault(file.stem, file) != file:
            raise DataError(f"{file}: {files[file.stem].name} has the same stem.")
    return files


def _truth(image: Path, mask: Path, values: tuple[int, ...] | None) -> Array:
    """Reads a mask (H, W) int32: class indices if `values` is set, else object numbers as they are."""
    pixels = read_image(mask)
    if (pixels != pixels[:, :, :1]).any() or (pixels != np.floor(pixels)).any():
        raise DataError(f"{mask}: the mask has colours or fractions; it needs one integer per pixel.")
    labels = check_mask(pixels[:, :, 0], read_image(image), name=str(mask))
    if values is None:
        return labels.astype(np.int32)
    unknown = np.setdiff1d(labels, values)
    if unknown.size:
        raise DataError(f"{mask}: unknown values {unknown[:8].tolist()}; the recipe has classes for {values}.")
    order = np.argsort(values)
    return order[np.searchsorted(values, labels, sorter=order)].astype(np.int32)
