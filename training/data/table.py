"""A CSV of file, label(s), group: a row an image."""

import csv
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from models.image import Array
from training.data.examples import SPLITS, DataError, DataSet, Example, Loader, constant, read_image


class Table(Loader):
    """`path` is the CSV file with a line of column names, `images` the folder in which its files are.

    file, label, group, split: the columns' names. Without a group column every file is its own group; without a split
    column the split is made. separator: what stands between the labels of one image, such as "|"; with it, several
    may be present, and none where the label is `negative` ("No Finding"). classes: the labels in the order of their
    indices; all that occur, sorted, if not given. Every column is kept for evaluation by subgroup.
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
        labels = [self._labels(row, where) for where, row in rows]
        found = {label for some in labels for label in some}
        classes = self.classes or tuple(sorted(found))
        for label in classes:
            if label not in found:
                raise DataError(f"{self.path}: class {label!r} has no image.")
        if len(classes) < (1 if self.separator else 2):
            raise DataError(f"{self.path}: column {self.label!r} holds the classes {classes}; two are needed.")
        examples = [self._example(where, row, some, classes) for (where, row), some in zip(rows, labels)]
        names: dict[str, str] = {}
        for (where, _), example in zip(rows, examples):
            if names.setdefault(example.name, where) != where:
                raise DataError(f"{where}: {example.name} has been named before, in {names[example.name]}.")
        return DataSet(tuple(examples), classes)

    def _rows(self) -> list[tuple[str, dict[str, str]]]:
        """Each row as (where it stands, its fields by column)."""
        try:
            with self.path.open(newline="", encoding="utf-8-sig") as file:
                reader = csv.DictReader(file, restval="", strict=True)
                rows = [(f"{self.path}, line {reader.line_num}", row) for row in reader]
                columns = list(reader.fieldnames or [])
        except OSError as error:
            raise DataError(f"{self.path}: {error.strerror}.") from error
        except (csv.Error, UnicodeDecodeError) as error:
            raise DataError(f"{self.path}: it is not a CSV file in UTF-8: {error}.") from error
        for column in (self.file, self.label, self.group, self.split):
            if column is not None and column not in columns:
                raise DataError(f"{self.path}: it has no column {column!r}; it has {columns}.")
        return rows

    def _labels(self, row: dict[str, str], where: str) -> list[str]:
        text = row[self.label].strip()
        if self.separator and text == self.negative:
            return []
        labels = [label.strip() for label in text.split(self.separator)] if self.separator else [text]
        for label in labels:
            if not label:
                raise DataError(f"{where}: the label of {row[self.file]!r} is empty.")
            if self.classes and label not in self.classes:
                raise DataError(f"{where}: {row[self.file]!r} has the label {label!r}; the recipe has {self.classes}.")
        return labels

    def _example(self, where: str, row: dict[str, str], labels: list[str], classes: tuple[str, ...]) -> Example:
        name = row[self.file].strip()
        if not (self.images / name).is_file():
            raise DataError(f"{where}: {self.images / name}: no such file.")
        group = row[self.group].strip() if self.group else name
        if not group:
            raise DataError(f"{where}: the group of {name!r} is empty.")
        given = row[self.split].strip().lower() if self.split else None
        if given is not None and given not in SPLITS:
            raise DataError(f"{where}: {name!r} has the split {given!r}; these are known: {', '.join(SPLITS)}.")
        return Example(
            name=name,
            group=group,
            stratum="|".join(labels),
            split=SPLITS[given] if given is not None else None,
            image=partial(read_image, self.images / name),
            truth=constant(self._truth(labels, classes)),
            columns={column: text.strip() for column, text in row.items() if isinstance(text, str)},
        )

    def _truth(self, labels: list[str], classes: tuple[str, ...]) -> Array:
        """-> a class index () int64, or (classes,) float32 of 0 and 1."""
        if not self.separator:
            return np.asarray(classes.index(labels[0]), dtype=np.int64)
        return np.isin(classes, labels).astype(np.float32)
