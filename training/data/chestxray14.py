"""Loader of ChestX-ray14 as the NIH publishes it: a label table and folders of PNGs (Wang 2017)."""

import csv
import gzip
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from training.data.examples import DataError, DataSet, Example, Loader, constant, read_image

FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax",
    "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia",
)  # fmt: skip
FILE, LABELS, PATIENT, NOTHING = "Image Index", "Finding Labels", "Patient ID", "No Finding"
COLUMNS = {"sex": "Patient Gender", "age": "Patient Age", "view": "View Position", "follow-up": "Follow-up #"}


class ChestXray14(Loader):
    """Loader settings. path: Data_Entry_2017_v2020.csv or .csv.gz. images: folder with the PNGs, at any depth.

    The truth is (14,) of 0 and 1, in the order of FINDINGS. A group is a patient. test_list: the official test_list.txt
    becomes the test split; its patients have no other images. Without it, [split] divides by patient and balances each
    image's rarest finding.
    """

    loader: Literal["chestxray14"]
    path: Path
    images: Path
    test_list: Path | None = None

    def load(self) -> DataSet:
        if not self.images.is_dir():
            raise DataError(f"{self.images}: no such folder.")
        return self.examples({file.name: file for file in self.images.rglob("*.png")})

    def examples(self, files: Mapping[str, Path]) -> DataSet:
        """Builds the examples; files: path of each image by name. Raises DataError if an image is missing."""
        rows = self.rows()
        missing = [name for name in rows if name not in files]
        if missing:
            raise DataError(
                f"{self.images / missing[0]}: no such file; {len(missing):,} of the {len(rows):,} images in"
                f" {self.path.name} are not in that folder."
            )
        labels = {name: self._labels(name, row) for name, row in rows.items()}
        count = Counter(label for some in labels.values() for label in some)
        tests = self._tests(rows)
        examples = [
            Example(
                name=name,
                group=row[PATIENT],
                stratum=min(labels[name], key=lambda label: count[label], default=NOTHING),
                split="test" if name in tests else None,
                image=partial(read_image, files[name]),
                truth=constant(np.isin(FINDINGS, labels[name]).astype(np.float32)),
                columns={name: row.get(column, "") for name, column in COLUMNS.items()},
            )
            for name, row in rows.items()
        ]
        return DataSet(tuple(examples), FINDINGS)

    def rows(self) -> dict[str, dict[str, str]]:
        """Reads the table: image name -> fields by column."""
        read = gzip.open if self.path.suffix == ".gz" else open
        try:
            with read(self.path, "rt", newline="", encoding="utf-8-sig") as file:
                rows = {row[FILE]: row for row in csv.DictReader(file, restval="")}
        except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{self.path}: cannot be read as a CSV file: {error}.") from error
        except KeyError as error:
            raise DataError(f"{self.path}: no column {error}.") from error
        for column in (LABELS, PATIENT):
            if not rows or column not in next(iter(rows.values())):
                raise DataError(f"{self.path}: no column {column!r}, or no rows.")
        return rows

    def _labels(self, name: str, row: Mapping[str, str]) -> list[str]:
        labels = [label for label in row[LABELS].split("|") if label != NOTHING]
        for label in labels:
            if label not in FINDINGS:
                raise DataError(
                    f"{self.path}: {name} has the unknown label {label!r}; labels are {', '.join(FINDINGS)}."
                )
        return labels

    def _tests(self, rows: Mapping[str, object]) -> set[str]:
        if self.test_list is None:
            return set()
        try:
            names = set(self.test_list.read_text().split())
        except OSError as error:
            raise DataError(f"{self.test_list}: {error.strerror}.") from error
        if unknown := sorted(names - set(rows)):
            raise DataError(f"{self.test_list}: {unknown[0]!r} is not in {self.path.name}.")
        return names
