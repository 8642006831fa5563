"""Stopwatch: the time each stage of one image takes, for its response and for the metrics."""

import time
from collections.abc import Callable
from contextvars import ContextVar

from service.api.answers import Stage, Timings
from service.scheduling.work_item import InferenceResult
from service.telemetry.metrics import ModelMetrics

OnStage = Callable[[Stage, float, float], None]  # stage, duration in seconds, seconds since its end
ON_STAGE: ContextVar[OnStage | None] = ContextVar("on_stage", default=None)  # of the current request


class Stopwatch:
    """Seconds by stage for one image of one model; a repeated stage (tiles) adds up."""

    def __init__(self, metrics: ModelMetrics) -> None:
        self._metrics = metrics
        self._seconds: dict[Stage, float] = {}
        self._on_stage = ON_STAGE.get()

    def stage(self, name: Stage) -> "StageTimer":
        """Returns a context manager that adds the duration of its block to a stage."""
        return StageTimer(self, name)

    def add(self, name: Stage, seconds: float, *, ago: float = 0.0) -> None:
        self._seconds[name] = self._seconds.get(name, 0.0) + seconds
        if self._on_stage:
            self._on_stage(name, seconds, ago)

    def add_run(self, result: InferenceResult) -> None:
        """Adds the queue and inference times of a run of the network."""
        self.add("queue", result.queue_s, ago=result.infer_s)
        self.add("infer", result.infer_s)

    def finish(self) -> Timings:
        """Returns the timings of an answered image, and observes each stage once in the metrics."""
        for name, seconds in self._seconds.items():
            self._metrics.stage(name).observe(seconds)
        return Timings(**{name: round(1e3 * seconds, 3) for name, seconds in self._seconds.items()})


class StageTimer:
    """The timer of one stage: a class, since a generator-based context manager takes four times as long."""

    __slots__ = ("_name", "_started", "_watch")

    def __init__(self, watch: Stopwatch, name: Stage) -> None:
        self._watch, self._name = watch, name

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._watch.add(self._name, time.perf_counter() - self._started)
