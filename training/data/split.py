"""Split into training, validation and test: from the data set or by group, verifiable by a digest."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator
from sklearn.model_selection import StratifiedGroupKFold

from training.data.examples import DataError, DataSet, Example, Split


class SplitConfig(BaseModel):
    """A recipe's [split] table: how many of `folds` equal parts test and validate, if the data set has no split.

    No group is in two parts, and strata are balanced. If the data set's own split divides a group, shared_groups says
    whether to refuse, to drop its examples from training, or to keep them, which [audit] must allow.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folds: int = Field(default=10, ge=2, le=100)
    turn: int = Field(default=0, ge=0)  # 0 ... folds - 1 for cross-validation: each fold is the test once
    test: int = Field(default=1, ge=0)
    validation: int = Field(default=1, ge=0)
    seed: int = 0
    shared_groups: Literal["refuse", "drop", "keep"] = "refuse"

    @model_validator(mode="after")
    def _check_folds(self) -> Self:
        if self.turn >= self.folds:
            raise ValueError(f"turn {self.turn}: the {self.folds} folds are counted from 0")
        if self.test + self.validation >= self.folds:
            raise ValueError(
                f"test {self.test} and validation {self.validation} of {self.folds} folds leave nothing to train on"
            )
        return self


def divide(data: DataSet, config: SplitConfig) -> dict[Split, list[Example]]:
    """Divides the examples, in the data set's order. Raises DataError if a group would be in two splits."""
    parts: dict[Split, list[Example]] = defaultdict(list)
    for example in data.examples:
        parts[example.split or "train"].append(example)
    if config.shared_groups == "drop":
        held_out = {example.group for split in ("validation", "test") for example in parts[split]}
        parts["train"] = [example for example in parts["train"] if example.group not in held_out]
    requested: list[tuple[Split, int]] = [("test", config.test), ("validation", config.validation)]
    missing = [(split, count) for split, count in requested if not parts[split] and count]
    if config.turn and not missing:
        raise DataError(f"split.turn is {config.turn}: the data set has its own split, so there are no folds to turn.")
    if missing:
        folds = _folds(parts["train"], config)
        folds = folds[config.turn :] + folds[: config.turn]
        for split, count in missing:
            chosen = {example.name for _ in range(count) for example in folds.pop()}
            parts[split] = [example for example in parts["train"] if example.name in chosen]
            parts["train"] = [example for example in parts["train"] if example.name not in chosen]
    if config.shared_groups != "keep":
        _refuse_shared_groups(parts)
    return {split: examples for split, examples in parts.items() if examples}


def _folds(examples: Sequence[Example], config: SplitConfig) -> list[list[Example]]:
    strata = [example.stratum for example in examples]
    rare = {stratum for stratum, count in Counter(strata).items() if count < config.folds}
    pooled = ["rare" if stratum in rare else stratum for stratum in strata]  # too few for every fold
    if 0 < pooled.count("rare") < config.folds:
        largest = next(stratum for stratum in pooled if stratum != "rare")
        pooled = [largest if stratum == "rare" else stratum for stratum in pooled]
    groups = [example.group for example in examples]
    if len(set(groups)) < config.folds:
        raise DataError(f"{len(set(groups))} groups cannot be divided into {config.folds} folds.")
    folder = StratifiedGroupKFold(config.folds, shuffle=True, random_state=config.seed)
    return [[examples[i] for i in chosen] for _, chosen in folder.split(np.zeros(len(groups)), pooled, groups)]


def _refuse_shared_groups(parts: dict[Split, list[Example]]) -> None:
    split_of_group: dict[str, Split] = {}
    for split, examples in parts.items():
        for example in examples:
            if split_of_group.setdefault(example.group, split) != split:
                raise DataError(
                    f"{example.name}: group {example.group!r} is in both {split_of_group[example.group]} and {split}."
                )


def digest(lines: Iterable[str]) -> str:
    """Returns the sha256 of the sorted lines."""
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def split_digest(parts: dict[Split, list[Example]]) -> str:
    """Returns the sha256 of the assignment of examples to splits."""
    return digest(f"{split}\t{example.name}" for split, examples in parts.items() for example in examples)
