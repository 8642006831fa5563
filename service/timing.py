"""How long each stage of one image took: for its answer, and for the metrics."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from service.metrics import Metrics
from service.schemas import Stage, Timings


class Stopwatch:
    """Seconds by stage for one image of one model; a stage that comes twice (tiles) adds up."""

    def __init__(self, metrics: Metrics, *, model: str) -> None:
        self._metrics = metrics
        self._model = model
        self._seconds: dict[Stage, float] = {}

    @contextmanager
    def stage(self, name: Stage) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - started)

    def add(self, name: Stage, seconds: float) -> None:
        self._seconds[name] = self._seconds.get(name, 0.0) + seconds

    def finish(self) -> Timings:
        """The timings of an image that was answered; they go into the metrics too, each stage once."""
        for name, seconds in self._seconds.items():
            self._metrics.stage_duration.labels(name, self._model).observe(seconds)
        return Timings(**{name: round(1e3 * seconds, 3) for name, seconds in self._seconds.items()})
