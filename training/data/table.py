"""Loader of a CSV table of file, label(s) and group, one row per image."""

import csv
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from models.image import Array
from training.data.examples import SPLITS, DataError, DataSet, Example, Loader, constant, read_image


class Table(Loader):
    """Loader settings. path: CSV file with a header line. images: folder of the files.

    file, label, group, split: column names. Without a group column every file is its own group; without a split column
    [split] divides. separator: between several labels of one image, such as "|"; an image has no label if the column is
    `negative` ("No Finding"). classes: labels in the order of their indices (default: all, sorted). All columns are
    available for evaluation by subgroup.
    """

    loader: Literal["table"]
    path: Path
    images: Path
    file: str = "file"
    label: str = "label"
    group: str | None = None
    split: str | None = None
    separator: str | None = Field(default=None, min_length=1)
    negative: str | None = None
    classes: tuple[str, ...] = ()

    def load(self) -> DataSet:
        rows = self._rows()
        labels = [self._labels(row, position) for position, row in rows]
        occurring = {label for row_labels in labels for label in row_labels}
        classes = self.classes or tuple(sorted(occurring))
        for label in classes:
            if label not in occurring:
                raise DataError(f"{self.path}: class {label!r} has no image.")
        if len(classes) < (1 if self.separator else 2):
            raise DataError(f"{self.path}: column {self.label!r} has the classes {classes}; at least two are needed.")
        examples = [
            self._example(position, row, row_labels, classes) for (position, row), row_labels in zip(rows, labels)
        ]
        names: dict[str, str] = {}
        for (position, _), example in zip(rows, examples):
            if names.setdefault(example.name, position) != position:
                raise DataError(f"{position}: {example.name} is listed twice; first in {names[example.name]}.")
        return DataSet(tuple(examples), classes)

    def _rows(self) -> list[tuple[str, dict[str, str]]]:
        """Reads each row as (file and line, fields by column)."""
        try:
            with self.path.open(newline="", encoding="utf-8-sig") as file:
                reader = csv.DictReader(file, restval="", strict=True)
                rows = [(f"{self.path}, line {reader.line_num}", row) for row in reader]
                columns = list(reader.fieldnames or [])
        except OSError as error:
            raise DataError(f"{self.path}: {error.strerror}.") from error
        except (csv.Error, UnicodeDecodeError) as error:
            raise DataError(f"{self.path}: not a CSV file in UTF-8: {error}.") from error
        for column in (self.file, self.label, self.group, self.split):
            if column is not None and column not in columns:
                raise DataError(f"{self.path}: no column {column!r}; columns are {columns}.")
        return rows

    def _labels(self, row: dict[str, str], position: str) -> list[str]:
        text = row[self.label].strip()
        if self.separator and text == self.negative:
            return []
        labels = [label.strip() for label in text.split(self.separator)] if self.separator else [text]
        for label in labels:
            if not label:
                raise DataError(f"{position}: the label of {row[self.file]!r} is empty.")
            if self.classes and label not in self.classes:
                raise DataError(
                    f"{position}: {row[self.file]!r} has the label {label!r}; the recipe has {self.classes}."
                )
        return labels

    def _example(self, position: str, row: dict[str, str], labels: list[str], classes: tuple[str, ...]) -> Example:
        name = row[self.file].strip()
        if not (self.images / name).is_file():
            raise DataError(f"{position}: {self.images / name}: no such file.")
        group = row[self.group].strip() if self.group else name
        if not group:
            raise DataError(f"{position}: the group of {name!r} is empty.")
        split = row[self.split].strip().lower() if self.split else None
        if split is not None and split not in SPLITS:
            raise DataError(f"{position}: {name!r} has the split {split!r}; allowed are {', '.join(SPLITS)}.")
        return Example(
            name=name,
            group=group,
            stratum="|".join(labels),
            split=SPLITS[split] if split is not None else None,
            image=partial(read_image, self.images / name),
            truth=constant(self._truth(labels, classes)),
            columns={column: text.strip() for column, text in row.items() if isinstance(text, str)},
        )

    def _truth(self, labels: list[str], classes: tuple[str, ...]) -> Array:
        """Returns a class index () int64, or (classes,) float32 of 0 and 1."""
        if not self.separator:
            return np.asarray(classes.index(labels[0]), dtype=np.int64)
        return np.isin(classes, labels).astype(np.float32)
