"""The UCR archive's text files of time series: a line each, the label and then the samples (Dau 2019)."""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from models.image import Array
from training.data.examples import DataError, DataSet, Example, Loader, constant


class UCR(Loader):
    """`path` is the file; classes: each label that is used, as the file has it, and its name, in the order of indices.

    Lines of other labels are left out. Every line is its own group: the files do not say what is of one patient.
    """

    loader: Literal["ucr"]
    path: Path
    classes: Annotated[dict[str, str], Field(min_length=2)]

    def load(self) -> DataSet:
        table = self._table()
        wanted = [float(label) for label in self.classes]
        names = tuple(self.classes.values())
        examples = [
            Example(
                name=f"line {number}",
                group=f"line {number}",
                stratum=names[wanted.index(label)],
                split=None,
                image=constant(samples[None, :, None].astype(np.float32)),  # (1, L, 1)
                truth=constant(np.int64(wanted.index(label))),
            )
            for number, (label, *_), samples in zip(range(1, len(table) + 1), table, table[:, 1:])
            if label in wanted
        ]
        return DataSet(tuple(examples), names)

    def _table(self) -> Array:
        """(lines, 1 + L) float64."""
        try:
            table = np.loadtxt(self.path, ndmin=2)
        except OSError as error:
            raise DataError(f"{self.path}: {error}.") from error
        except ValueError as error:
            raise DataError(f"{self.path}: it is not a table of numbers: {error}.") from error
        if not np.isfinite(table).all():
            raise DataError(
                f"{self.path}: line {1 + int(np.argmin(np.isfinite(table).all(axis=1)))} is not all finite."
            )
        return table
