"""Rounds: interleaved measurements of several sides, and the statistics of their ratios."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def interleaved(sides: Mapping[str, Callable[[], T]], *, rounds: int) -> dict[str, list[T]]:
    """Measures each side once per round. Every round begins with another side, so that none is always first."""
    names = list(sides)
    results: dict[str, list[T]] = {name: [] for name in names}
    for start in range(rounds):
        turn = start % len(names)
        for name in names[turn:] + names[:turn]:
            results[name].append(sides[name]())
    return results


def with_control(sides: Mapping[str, T], *, of: str) -> dict[str, T]:
    """Returns the sides, with one of them repeated as CONTROL half a round later."""
    items = [item for item in sides.items() if item[0] != of]
    middle = len(items) // 2
    return dict([(of, sides[of]), *items[:middle], (CONTROL, sides[of]), *items[middle:]])


CONTROL = "the same again"
ENOUGH = 3  # rounds; of fewer nobody knows how far they stray


@dataclass(frozen=True, slots=True)
class Ratio:
    """The median of a ratio over the rounds, and its 10th and 90th percentile."""

    median: float
    low: float
    high: float
    rounds: int = ENOUGH

    @classmethod
    def of(cls, numerators: Sequence[float], denominators: Sequence[float]) -> "Ratio":
        """Computes the ratio per round, since a slow machine slows both sides."""
        return cls.across([a / b for a, b in zip(numerators, denominators, strict=True)])

    @classmethod
    def across(cls, each: Sequence[float]) -> "Ratio":
        """Summarises one ratio per round."""
        median, low, high = (float(np.percentile(each, q)) for q in (50, 10, 90))
        return cls(median, low, high, rounds=len(each))

    @property
    def noise(self) -> float:
        """Returns the spread of an A/A control, whose ratio would be 1 on a quiet machine."""
        return max(self.high, 1.0) - min(self.low, 1.0)

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.low:.3g} to {self.high:.3g})"


@dataclass(frozen=True, slots=True)
class AtLeast:
    value: float

    def holds(self, ratio: float) -> bool:
        return ratio >= self.value

    def __str__(self) -> str:
        return f"at least {self.value:g}"


@dataclass(frozen=True, slots=True)
class AtMost:
    value: float

    def holds(self, ratio: float) -> bool:
        return ratio <= self.value

    def __str__(self) -> str:
        return f"at most {self.value:g}"


@dataclass(frozen=True, slots=True)
class Finding:
    """A ratio, its A/A control, and its target (None: for information only).

    noise: the spread of the control above which the machine is too noisy to tell.
    """

    what: str
    ratio: Ratio
    control: Ratio
    reach: AtLeast | AtMost | None = None
    noise: float = 0.10

    @property
    def verdict(self) -> str:
        if self.ratio.rounds < ENOUGH:
            return "too few rounds to tell"
        if self.control.noise > self.noise:
            return f"too noisy to tell (the control strays {self.control.noise:.0%}, {self.noise:.0%} may be)"
        if self.reach is None:
            return ""
        return "reached" if self.reach.holds(self.ratio.median) else "short"

    def cells(self) -> tuple[str, ...]:
        return (self.what, str(self.ratio), str(self.control), str(self.reach or ""), self.verdict)


FINDING_HEADER = ("ratio", "median (10th to 90th percentile)", "A/A control", "reach", "")
