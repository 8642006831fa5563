"""Cost model: the duration of a run by its size, and from it the batch size that pays."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

_WEIGHT = 0.1  # of the newest measurement in a mean, which so covers about twenty runs
_HELD_UP, _TOO_LONG_S = 2.0, 0.1  # times the mean: a run alone that took longer was held up, unless it took this long
_GAIN = 0.95  # largest time per item of a larger batch, as a share of the smaller one's


class BatchCloseReason(IntEnum):
    """The reason why a batch was closed at its size."""

    IDLE = 1  # a lane was idle when the item arrived
    NO_MORE = 2  # fewer items waited than the next size needs
    FULL = 3  # there is no larger size
    BOUND = 4  # a larger one would exceed the time limit of a run
    NO_GAIN = 5  # a larger one would save no time per item
    ALONE = 6  # its batch had failed, so it runs alone


@dataclass(slots=True)
class Mean:
    """The recent means of one batch size's runs: elements and seconds."""

    elements: float
    seconds: float

    def update(self, elements: float, seconds: float) -> None:
        self.elements += _WEIGHT * (elements - self.elements)
        self.seconds += _WEIGHT * (seconds - self.seconds)


class CostModel:
    """seconds = fixed + rate * elements, fitted by least squares to the means of each batch size that has run.

    That is while every lane runs. What one item takes while nothing else runs is a mean of its own.
    """

    def __init__(self) -> None:
        self._means: dict[int, Mean] = {}
        self._alone: dict[int, Mean] = {}  # by the power of two that the elements reach

    def record(self, size: int, *, elements: int, seconds: float) -> None:
        """Records a run of `size` items with `elements` numbers in total, while every lane ran."""
        if size in self._means:
            self._means[size].update(elements, seconds)
        else:
            self._means[size] = Mean(elements, seconds)

    def record_alone(self, elements: int, seconds: float) -> None:
        """Records a run of one item while nothing else ran. One that was held up by the system counts little."""
        expected = self._seconds_alone(elements) or seconds
        mean = self._alone.setdefault(elements.bit_length(), Mean(elements, expected))
        mean.update(elements, seconds if seconds > _TOO_LONG_S else min(seconds, _HELD_UP * expected))

    def line(self) -> tuple[float, float]:
        """Returns (fixed, rate), neither negative. With a single size, nothing is known to be fixed."""
        points = self._means.values()
        n, x = len(points), sum(point.elements for point in points)
        y = sum(point.seconds for point in points)
        xx = sum(point.elements**2 for point in points)
        xy = sum(point.elements * point.seconds for point in points)
        spread = n * xx - x * x
        rate = (n * xy - x * y) / spread if n > 1 and spread > 0 else 0.0
        fixed = (y - rate * x) / n if n > 1 else 0.0
        if rate < 0:
            return y / n, 0.0
        return (fixed, rate) if n > 1 and fixed >= 0 else (0.0, xy / xx if xx else 0.0)

    def within(self, seconds: float, elements: int) -> bool:
        """Returns whether one item of about this size takes no longer while nothing else runs."""
        return 0 < self._seconds_alone(elements) <= seconds

    def _seconds_alone(self, elements: int) -> float:
        """Returns what one item is expected to take; 0 before any run."""
        mean = self._alone.get(elements.bit_length()) or self._means.get(1)
        if mean is None:
            return 0.0
        return mean.seconds if elements <= mean.elements else mean.seconds * elements / mean.elements

    def seconds(self, elements: float) -> float:
        """Returns the expected duration of a run of this size; 0 before any run."""
        fixed, rate = self.line()
        return fixed + rate * elements

    def batch_size(
        self, waiting: int, *, elements: int, buckets: Sequence[int], bound_s: float
    ) -> tuple[int, BatchCloseReason]:
        """Returns the largest bucket that is full, pays and ends within the limit, at least 1; and why not the next.

        elements: in one item. On a processor that one image keeps busy nothing pays, and the answer is 1.
        """
        fixed, rate = self.line()
        best = 1
        for size in buckets:
            each, before = fixed / size + rate * elements, fixed / best + rate * elements
            if size > waiting:
                return best, BatchCloseReason.NO_MORE
            if size * each > bound_s:
                return best, BatchCloseReason.BOUND
            if size > 1 and each > _GAIN * before:
                return best, BatchCloseReason.NO_GAIN
            best = size
        return best, BatchCloseReason.FULL
