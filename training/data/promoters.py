"""Loader of UCI's promoter sequences: lines of class, name, 57 bases (Towell, Shavlik, Noordewier 1990)."""

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
_SHARED = 15  # consecutive bases; a hundred sequences share this many only if related


class Promoters(Loader):
    """Loader settings. path: promoters.data. Sequences that share 15 consecutive bases are one group.

    The negatives are windows of one DNA fragment, and most overlap (987 and 988 differ by one base); some promoters are
    copies (those of the rrn operons). Without groups, a network would be tested on sequences that it has seen.
    """

    loader: Literal["promoters"]
    path: Path

    def load(self) -> DataSet:
        rows = self._rows()
        groups = group_by_shared_bases([sequence for _, _, sequence in rows])
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
        """Reads (class, name, sequence) of each line."""
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
                raise DataError(f"{self.path}, line {number}: expected +,name,sequence or -,name,sequence.")
            rows.append((fields[0], fields[1], fields[2].lower()))
        if len({len(sequence) for _, _, sequence in rows}) != 1:
            raise DataError(f"{self.path}: all sequences must have the same length.")
        return rows


def group_by_shared_bases(sequences: Sequence[str]) -> list[int]:
    """Returns each sequence's group number; sequences linked by common runs of 15 bases are one group."""
    runs: dict[str, int] = {}
    pairs = [
        (number, runs.setdefault(sequence[i : i + _SHARED], number))
        for number, sequence in enumerate(sequences)
        for i in range(max(1, len(sequence) - _SHARED + 1))
    ]
    links = coo_array((np.ones(len(pairs)), tuple(zip(*pairs))), shape=(len(sequences),) * 2)
    groups: list[int] = connected_components(links)[1].tolist()
    return groups


def _image(sequence: str, *, where: str) -> np.ndarray:
    """Encodes a sequence as (1, L, 4) uint8, as the service does."""
    try:
        return one_hot(sequence, LETTERS).T[None]
    except BadSignal as error:
        raise DataError(f"{where}: {error}") from error
