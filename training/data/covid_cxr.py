"""Loader of chest X-rays with overlapping structures: structure.csv, metadata.csv, images/, cropped masks/."""

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from models.image import Array
from models.preprocess import resize
from training.data.examples import DataError, DataSet, Example, Loader, read_image

Row = Mapping[str, str]
REQUIRED_COLUMNS = {
    "structure.csv": ("Filename", "Template Name", "Mask", "Top", "Left"),
    "metadata.csv": ("filename", "patientid", "finding", "view", "sex"),
}


class CovidCXR(Loader):
    """Loader settings. path: the folder. classes: label -> names of its structures.

    The truth is (H, W) int32 of bits: bit c is set where class c is present. Images and masks are reduced to at most
    longest_side_px. A group is a patient.
    """

    loader: Literal["covid_cxr"]
    path: Path
    classes: Annotated[dict[str, tuple[str, ...]], Field(min_length=1, max_length=31)]
    longest_side_px: int = Field(default=256, ge=16)

    def load(self) -> DataSet:
        masks: dict[str, list[Row]] = defaultdict(list)
        for row in self._table("structure.csv"):
            masks[row["Filename"]] += [row] if row["Mask"] else []  # a structure that is not in the image has no mask
        metadata = {row["filename"]: row for row in self._table("metadata.csv")}
        return DataSet(tuple(self._example(name, masks[name], metadata) for name in sorted(masks)), tuple(self.classes))

    def _example(self, name: str, rows: Sequence[Row], metadata: Mapping[str, Row]) -> Example:
        image = self.path / "images" / name
        if name not in metadata:
            raise DataError(f"{self.path / 'metadata.csv'}: no line for {name!r}, which is in structure.csv.")
        for file in (image, *(self.path / row["Mask"] for row in rows)):
            if not file.is_file():
                raise DataError(f"{file}: no such file.")
        return Example(
            name=name,
            group=metadata[name]["patientid"],
            stratum="",
            split=None,
            image=partial(self._image, image),
            truth=partial(self._truth, image, tuple(rows)),
            columns={column: metadata[name][column] for column in ("finding", "view", "sex")},
        )

    def _image(self, file: Path) -> Array:
        pixels = read_image(file)
        return np.rint(resize(pixels, self._size(pixels))).clip(0, 255).astype(np.uint8)

    def _truth(self, file: Path, rows: Sequence[Row]) -> Array:
        pixels = read_image(file)
        bits = np.zeros(self._size(pixels), np.int32)
        for number, structures in enumerate(self.classes.values()):
            layer = np.zeros(pixels.shape[:2], np.float32)
            for row in rows:
                if row["Template Name"] in structures:
                    paste(layer, self.path / row["Mask"], top=int(row["Top"]), left=int(row["Left"]))
            bits |= (resize(layer[:, :, None], bits.shape)[:, :, 0] >= 0.5).astype(np.int32) << number
        return bits

    def _size(self, pixels: Array) -> tuple[int, int]:
        height, width = pixels.shape[:2]
        scale = min(1.0, self.longest_side_px / max(height, width))
        return round(height * scale), round(width * scale)

    def _table(self, name: str) -> list[Row]:
        try:
            with (self.path / name).open(newline="", encoding="utf-8-sig") as file:
                rows: list[Row] = list(csv.DictReader(file, restval=""))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{self.path / name}: {error}.") from error
        for column in REQUIRED_COLUMNS[name]:
            if not rows or column not in rows[0]:
                raise DataError(f"{self.path / name}: no column {column!r}, or no rows.")
        return rows


def paste(layer: Array, file: Path, *, top: int, left: int) -> None:
    """Sets the layer (H, W) to 1 where the cropped mask at (top, left) is not black."""
    masks = read_image(file).any(axis=2)
    window = layer[top : top + masks.shape[0], left : left + masks.shape[1]]
    if min(top, left) < 0 or window.shape != masks.shape:
        (height, width), (rows, columns) = masks.shape, layer.shape
        raise DataError(f"{file}: {width} x {height} at ({left}, {top}) exceeds its image, {columns} x {rows}.")
    window[masks] = 1
