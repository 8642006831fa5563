"""Provenance and evaluation of a network: its data, its figures, the statistics of its training images."""

from pydantic import Field

from models.closed import Closed, Sha256


class Range(Closed):
    """What nearly all training inputs lie between."""

    low: float
    high: float


class IntensityStatistics(Closed):
    """What 99 % of the training images lie between, in `preprocess.intensity_figures` of the prepared tensor."""

    mean: Range
    std: Range
    p1: Range  # the 1st percentile
    p99: Range


class Figure(Closed):
    """One figure of the evaluation: its value and 95 % bootstrap interval over n images of a split."""

    metric: str
    value: float
    low: float
    high: float
    n: int = Field(ge=1)
    split: str


class Provenance(Closed):
    """Where the weights come from."""

    recipe: str
    data: str  # what it was trained on, in a sentence with source and licence
    data_sha256: Sha256  # of every training image and label
    split_sha256: Sha256  # of which image is in which split
    commit: str = ""
    trained: str = ""  # ISO date
    allowed: dict[str, str] = Field(default_factory=dict)  # what training.audit found and was allowed: why
    weights: str = ""  # the file that training started from, its digest, and how much of it was taken
