"""How long each stage of one image took: for its answer, and for the metrics."""

import time
from collections.abc import Callable
from contextvars import ContextVar

from service.api.answers import Stage, Timings
from service.scheduling.work_item import InferenceResult
from service.telemetry.metrics import ModelMetrics

OnStage = Callable[[Stage, float, float], None]  # the stage, how many seconds it took, how many ago it ended
ON_STAGE: ContextVar[OnStage | None] = ContextVar("on_stage", default=None)  # of the request that is answered


class Stopwatch:
    """Seconds by stage for one image of one model; a stage that comes twice (tiles) adds up."""

    def __init__(self, metrics: ModelMetrics) -> None:
        self._metrics = metrics
        self._seconds: dict[Stage, float] = {}
        self._on_stage = ON_STAGE.get()

    def stage(self, name: Stage) -> "Lap":
        """with watch.stage("decode"): adds the block's time to the stage."""
        return Lap(self, name)

    def add(self, name: Stage, seconds: float, *, ago: float = 0.0) -> None:
        self._seconds[name] = self._seconds.get(name, 0.0) + seconds
        if self._on_stage:
            self._on_stage(name, seconds, ago)

    def ran(self, ran: InferenceResult) -> None:
        """What the network's queue and its run took."""
        self.add("queue", ran.queue_s, ago=ran.infer_s)
        self.add("infer", ran.infer_s)

    def finish(self) -> Timings:
        """The timings of an image that was answered; they go into the metrics too, each stage once."""
        for name, seconds in self._seconds.items():
            self._metrics.stage(name).observe(seconds)
        return Timings(**{name: round(1e3 * seconds, 3) for name, seconds in self._seconds.items()})


class Lap:
    """A class of its own, since a generator's context manager takes four times as long and there are five an image."""

    __slots__ = ("_name", "_started", "_watch")

    def __init__(self, watch: Stopwatch, name: Stage) -> None:
        self._watch, self._name = watch, name

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._watch.add(self._name, time.perf_counter() - self._started)
