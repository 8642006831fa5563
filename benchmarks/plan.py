"""How long a benchmark measures."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """seconds: of load on one side in one round. None: the benchmark's own choice."""

    rounds: int | None = None
    seconds: float | None = None
    networks: tuple[str, ...] = ()
