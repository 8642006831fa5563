"""UCI's promoter sequences: a line each of class, name, 57 bases (Towell, Shavlik, Noordewier 1990)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from models.decode.signal import one_hot
from models.errors import BadSignal
from training.data.examples import DataError, DataSet, Example, Loader, constant

LETTERS = "acgt"  # in the order of the channels
CLASSES = {"-": "other", "+": "promoter"}
_SHARED = 15  # bases in a row; by chance no two sequences of a hundred have as many in common


class Promoters(Loader):
    """`path` is promoters.data. Sequences that share 15 bases in a row are one group.

    The negatives are windows of one fragment of DNA, and most overlap (987 and 988 differ by a base); some promoters
    are copies of one another (those of the rrn operons). Left ungrouped, a network would be tested on what it has seen.
    """

    loader: Literal["promoters"]
    path: Path

    def load(self) -> DataSet:
        rows = self._rows()
        groups = alike([sequence for _, _, sequence in rows])
        examples = [
            Example(
                name=name,
                group=str(group),
                stratum=CLASSES[label],
                split=None,
                image=constant(_image(sequence, where=f"{self.path}: {name}")),
                truth=constant(np.int64(label == "+")),
            )
            for (label, name, sequence), group in zip(rows, groups)
        ]
        return DataSet(tuple(examples), tuple(CLASSES.values()))

    def _rows(self) -> list[tuple[str, str, str]]:
        """(class, name, sequence) of each line."""
        try:
            lines = self.path.read_text().splitlines()
        except OSError as error:
            raise DataError(f"{self.path}: {error.strerror}.") from error
        rows = []
        for number, line in enumerate(lines, start=1):
            fields = [field.strip() for field in line.split(",")]
            if fields == [""]:
                continue
            if len(fields) != 3 or fields[0] not in CLASSES:
                raise DataError(f"{self.path}, line {number}: it should be +,name,sequence or -,name,sequence.")
            rows.append((fields[0], fields[1], fields[2].lower()))
        if len({len(sequence) for _, _, sequence in rows}) != 1:
            raise DataError(f"{self.path}: it should hold sequences of one length.")
        return rows


def alike(sequences: Sequence[str]) -> list[int]:
    """The number of each sequence's group: those that are joined by common runs of 15 bases are in one."""
    runs: dict[str, int] = {}
    pairs = [
        (number, runs.setdefault(sequence[i : i + _SHARED], number))
        for number, sequence in enumerate(sequences)
        for i in range(max(1, len(sequence) - _SHARED + 1))
    ]
    links = coo_array((np.ones(len(pairs)), tuple(zip(*pairs))), shape=(len(sequences),) * 2)
    return connected_components(links)[1].tolist()


def _image(sequence: str, *, where: str) -> np.ndarray:
    """-> (1, L, 4) uint8, as the service makes it of the same letters."""
    try:
        return one_hot(sequence, LETTERS).T[None]
    except BadSignal as error:
        raise DataError(f"{where}: {error}") from error
