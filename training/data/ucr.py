"""Loader of UCR archive time series: text lines of a label and the samples (Dau 2019)."""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from models.image import Array
from training.data.examples import DataError, DataSet, Example, Loader, constant


class UCR(Loader):
    """Loader settings. path: the file. classes: label in the file -> name, in the order of indices.

    Lines with other labels are skipped. The files do not identify patients, so every line is its own group.
    """

    loader: Literal["ucr"]
    path: Path
    classes: Annotated[dict[str, str], Field(min_length=2)]

    def load(self) -> DataSet:
        table = self._table()
        labels = [float(label) for label in self.classes]
        names = tuple(self.classes.values())
        examples = [
            Example(
                name=f"line {number}",
                group=f"line {number}",
                stratum=names[labels.index(label)],
                split=None,
                image=constant(samples[None, :, None].astype(np.float32)),  # (1, L, 1)
                truth=constant(np.int64(labels.index(label))),
            )
            for number, (label, *_), samples in zip(range(1, len(table) + 1), table, table[:, 1:])
            if label in labels
        ]
        return DataSet(tuple(examples), names)

    def _table(self) -> Array:
        """Reads (lines, 1 + L) float64."""
        try:
            table = np.loadtxt(self.path, ndmin=2)
        except OSError as error:
            raise DataError(f"{self.path}: {error}.") from error
        except ValueError as error:
            raise DataError(f"{self.path}: not a table of numbers: {error}.") from error
        if not np.isfinite(table).all():
            raise DataError(
                f"{self.path}: line {1 + int(np.argmin(np.isfinite(table).all(axis=1)))} has non-finite values."
            )
        return table
