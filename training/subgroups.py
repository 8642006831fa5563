"""Subgroup analysis: the figures of each site, scanner, sex or any other column of the examples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from models.evaluation import Figure
from models.image import Array
from training.data.examples import DataError, Example
from training.evaluation_metrics import Undefined, bootstrap
from training.tasks.training_task import Score

SMALL = 30  # groups, such as patients; with fewer, the interval says little
MANY = 50  # values of one column; bin an age or a date first


@dataclass(frozen=True, slots=True)
class Subgroup:
    """The examples with one value of a column. figures: those that are defined. worst: has the lowest headline."""

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


def column_values(column: str, examples: Sequence[Example]) -> Array:
    """Returns the column's value of each example. Raises DataError for an unknown column or too many values."""
    names = sorted({name for example in examples for name in example.columns})
    if column not in names:
        raise DataError(f"No example has a column {column!r}; the columns are {names}.")
    values = np.array([example.columns.get(column) or "(none)" for example in examples])
    if len(set(values)) > MANY:
        raise DataError(f"Column {column!r} has {len(set(values))} values; at most {MANY} are allowed as subgroups.")
    return values


def by_column(
    column: str, examples: Sequence[Example], scores: Mapping[str, Score], *, headline: str, split: str
) -> list[Subgroup]:
    """Returns a subgroup for each value of the column (one for examples without a value) and marks the worst.

    The worst has the lowest headline of those that are not small, or of all if all are small. Raises DataError as
    column_values does.
    """
    values = column_values(column, examples)
    groups = np.array([example.group for example in examples])
    subgroups = [_subgroup(column, value, values == value, scores, groups, split) for value in sorted(set(values))]
    defined = [subgroup for subgroup in subgroups if headline in subgroup.figures]
    exit_on_user_error = [subgroup for subgroup in defined if not subgroup.small] or defined
    worst = min(exit_on_user_error, key=lambda subgroup: subgroup.figures[headline].value, default=None)
    return [replace(subgroup, worst=subgroup is worst and len(exit_on_user_error) > 1) for subgroup in subgroups]


def _subgroup(
    column: str, value: str, member: Array, scores: Mapping[str, Score], groups: Array, split: str
) -> Subgroup:
    chosen = np.flatnonzero(member)
    figures = {}
    for name, of in scores.items():
        try:
            figures[name] = bootstrap(name, lambda i: of(chosen[i]), groups=groups[chosen], split=split)  # noqa: B023
        except Undefined:
            continue  # a single class has no ROC curve; the report says "not defined"
    return Subgroup(column, str(value), len(chosen), len(set(groups[chosen])), figures)
