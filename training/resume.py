"""Check that a resumed run trains on the same data with the same recipe."""

from collections.abc import Mapping
from typing import Any

from training.config import Recipe
from training.data.examples import DataError

DATA = {"split_sha256": "the split", "data_sha256": "training examples", "validation_sha256": "validation examples"}
TABLES = ("network", "input", "augment", "training")
FREE = {("training", "workers"), ("input", "read")}  # they do not change the weights


def check_unchanged(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Compares what train.read_data returned when the run began and now. Raises DataError if they differ."""
    old = Recipe.model_validate(before["recipe"]).model_dump(mode="json")
    changed = [
        f"{table}.{field}"
        for table in TABLES
        for field, value in now["recipe"][table].items()
        if old[table][field] != value and (table, field) not in FREE
    ]
    changed += [what for kind, what in DATA.items() if before[kind] != now[kind]]
    if changed:
        raise DataError(
            f"This run cannot be resumed: since it began, {', '.join(changed)} changed."
            " Start a new run; --weights can start it from this run's last.pt."
        )
