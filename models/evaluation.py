"""Evaluation and provenance of a network: its figures, its data, the statistics of its training images."""

from pydantic import Field

from models.closed import Closed, Sha256


class Range(Closed):
    """Interval that holds nearly all training inputs."""

    low: float
    high: float


class IntensityStatistics(Closed):
    """Intervals that hold 99 % of the training images, for `preprocess.intensity_figures` of the prepared tensor."""

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
    """Origin of the weights."""

    recipe: str
    data: str  # what it was trained on, in a sentence with source and licence
    data_sha256: Sha256  # of every training image and label
    split_sha256: Sha256  # of which image is in which split
    commit: str = ""
    trained: str = ""  # ISO date
    allowed: dict[str, str] = Field(default_factory=dict)  # what training.audit found and was allowed: why
    weights: str = ""  # the file that training started from, its digest, and how much of it was taken
