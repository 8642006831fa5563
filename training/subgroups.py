"""What an average hides: the figures of each site, scanner, sex or whatever else is known of the examples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from models.evaluation import Figure
from models.image import Array
from training.data.examples import DataError, Example
from training.metrics import Undefined, bootstrap
from training.task import Score

SMALL = 30  # groups, such as patients; the interval of fewer tells little
MANY = 50  # values of one column; an age or a date is to be put into classes first


@dataclass(frozen=True, slots=True)
class Subgroup:
    """The examples that have one value in a column. figures: those that they define. worst: has the lowest headline."""

    column: str
    value: str
    images: int
    groups: int
    figures: Mapping[str, Figure]
    worst: bool = False

    @property
    def small(self) -> bool:
        return self.groups < SMALL

    def document(self) -> dict[str, Any]:
        figures = [figure.model_dump(mode="json") for figure in self.figures.values()]
        facts = {name: getattr(self, name) for name in ("column", "value", "images", "groups", "small", "worst")}
        return facts | {"figures": figures}


def values_of(column: str, examples: Sequence[Example]) -> Array:
    """(n,) of str. Raises DataError for a column that no example has or that has too many values."""
    known = sorted({name for example in examples for name in example.columns})
    if column not in known:
        raise DataError(f"No example has a column {column!r}; known are {known}.")
    values = np.array([example.columns.get(column) or "(none)" for example in examples])
    if len(set(values)) > MANY:
        raise DataError(f"Column {column!r} has {len(set(values))} values; at most {MANY} make subgroups.")
    return values


def by_column(
    column: str, examples: Sequence[Example], scores: Mapping[str, Score], *, headline: str, split: str
) -> list[Subgroup]:
    """A subgroup for each value of the column, examples without one together; the worst is marked.

    That is the one with the lowest headline among those that are not small, or among all where all are. Raises
    DataError as values_of does.
    """
    values = values_of(column, examples)
    groups = np.array([example.group for example in examples])
    found = [_subgroup(column, value, values == value, scores, groups, split) for value in sorted(set(values))]
    defined = [subgroup for subgroup in found if headline in subgroup.figures]
    told = [subgroup for subgroup in defined if not subgroup.small] or defined
    worst = min(told, key=lambda subgroup: subgroup.figures[headline].value, default=None)
    return [replace(subgroup, worst=subgroup is worst and len(told) > 1) for subgroup in found]


def _subgroup(
    column: str, value: str, member: Array, scores: Mapping[str, Score], groups: Array, split: str
) -> Subgroup:
    chosen = np.flatnonzero(member)
    figures = {}
    for name, of in scores.items():
        try:
            figures[name] = bootstrap(name, lambda i: of(chosen[i]), groups=groups[chosen], split=split)  # noqa: B023
        except Undefined:
            continue  # of one class alone there is no ROC curve; the report says so
    return Subgroup(column, str(value), len(chosen), len(set(groups[chosen])), figures)
