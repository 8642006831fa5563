"""What a run that goes on must have kept: its data, and all of the recipe that decides how it trains."""

from collections.abc import Mapping
from typing import Any

from training.config import Recipe
from training.data.examples import DataError

DATA = {"split_sha256": "the split", "data_sha256": "training examples", "validation_sha256": "validation examples"}
TABLES = ("network", "input", "augment", "training")
FREE = {("training", "workers"), ("input", "read")}  # they change no weight


def still_the_same(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """before, now: what train.read_data returned when the run began and when it goes on. Raises DataError."""
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
            f"Since this run began, {', '.join(changed)} changed, so that it cannot be resumed."
            " Start a new run; --weights starts it from this one's last.pt."
        )
