"""Benchmark plan: the duration and extent of a measurement."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan. seconds: duration of the load on one side in one round. None: the benchmark's default."""

    rounds: int | None = None
    seconds: float | None = None
    networks: tuple[str, ...] = ()
