"""Model metrics: what is counted per model, for Prometheus and for Triton's statistics extension."""

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Literal, get_args

from models.source import Image
from service.api.answers import InputWarning, Stage, Timings
from service.scheduling.work_item import InferenceResult
from service.telemetry.metrics import Metrics

Phase = Literal["queue", "compute_input", "compute_infer", "compute_output"]


@dataclass(slots=True)
class DurationSum:
    """A number of events and the sum of their durations."""

    count: int = 0
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        self.count += 1
        self.seconds += seconds

    def __add__(self, other: "DurationSum") -> "DurationSum":
        return DurationSum(self.count + other.count, self.seconds + other.seconds)


@dataclass(slots=True)
class Comparison:
    """Images that a shadow ran as well. differed: its decision was another; left_out: skipped, since it lagged."""

    compared: int = 0
    differed: int = 0
    failed: int = 0
    left_out: int = 0

    def __add__(self, other: "Comparison") -> "Comparison":
        return Comparison(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


@dataclass(slots=True, eq=False)
class Statistics:
    """The statistics of one model version since it was loaded.

    success, fail: requests of all routes. parts: times of images. last: Unix time at which the last request ended.
    comparison: of a version while it is a shadow. items: images and tiles by batch size, each counted with
    the time of its whole run.
    """

    success: DurationSum = field(default_factory=DurationSum)
    fail: DurationSum = field(default_factory=DurationSum)
    parts: dict[Phase, DurationSum] = field(default_factory=lambda: {part: DurationSum() for part in get_args(Phase)})
    last: float = 0.0
    comparison: Comparison = field(default_factory=Comparison)
    items: dict[int, DurationSum] = field(default_factory=dict)

    def __add__(self, other: "Statistics") -> "Statistics":
        return Statistics(
            self.success + other.success,
            self.fail + other.fail,
            {part: duration + other.parts[part] for part, duration in self.parts.items()},
            max(self.last, other.last),
            self.comparison + other.comparison,
            {
                size: self.items.get(size, DurationSum()) + other.items.get(size, DurationSum())
                for size in {*self.items, *other.items}
            },
        )

    def add_run(self, result: InferenceResult) -> None:
        """Counts an image or tile that the network has processed."""
        self.items.setdefault(result.batch_size, DurationSum()).add(result.infer_s)

    def add_image(self, timings: Timings) -> None:
        """Counts an answered image."""
        self.parts["queue"].add(1e-3 * timings.queue)
        self.parts["compute_input"].add(1e-3 * (timings.decode + timings.preprocess))
        self.parts["compute_infer"].add(1e-3 * timings.infer)
        self.parts["compute_output"].add(1e-3 * (timings.postprocess + timings.encode))

    def add_overhead(self, part: Literal["compute_input", "compute_output"], seconds: float) -> None:
        """Adds the time of reading a request or writing its response, apart from its images."""
        self.parts[part].seconds += seconds

    def add_request(self, started: float, *, failed: bool) -> None:
        """Counts a request that arrived at perf_counter() == `started` and ends now."""
        (self.fail if failed else self.success).add(time.perf_counter() - started)
        self.last = time.time()

    def runs(self) -> dict[int, DurationSum]:
        """Returns the runs of the network by batch size, computed from the items whose callers received a result."""
        return {
            size: DurationSum(round(duration.count / size), duration.seconds / size)
            for size, duration in sorted(self.items.items())
        }


class ModelMetrics:
    """The Prometheus series of one model, each looked up once: finding a labelled child takes as long as counting."""

    def __init__(self, metrics: Metrics, model: str) -> None:
        self._stage = cache(lambda stage: metrics.stage_duration.labels(stage, model))
        self._prediction = cache(lambda label: metrics.predictions.labels(model, label))
        self._input_warning = cache(lambda code: metrics.input_warnings.labels(model, code))
        self._released = cache(lambda reason: metrics.batches.labels(model, reason.name.lower()))
        self._input_side = metrics.input_side.labels(model)
        self._batch_size = metrics.batch_size.labels(model)
        self._confidence = metrics.confidence.labels(model)
        self.failed_runs = metrics.failed_runs.labels(model)
        self._figure = cache(
            lambda figure: (
                metrics.input_deviation.labels(model, figure).observe,
                metrics.inputs_outside.labels(model, figure, "low").inc,
                metrics.inputs_outside.labels(model, figure, "high").inc,
            )
        )

    def observe_input(self, image: Image, warnings: Iterable[InputWarning], deviations: Mapping[str, float]) -> None:
        """Observes a preprocessed image. deviations: the values of input_deviation_ratio by figure."""
        self._input_side.observe(math.sqrt(image.height * image.width))
        for warning in warnings:
            self._input_warning(warning.code).inc()
        for figure, ratio in deviations.items():
            observe, low, high = self._figure(figure)
            observe(ratio)
            if ratio > 1:
                high()
            elif ratio < -1:
                low()

    def observe_run(self, result: InferenceResult, statistics: Statistics) -> None:
        """Observes an image or tile that the network has processed. statistics: of the version that ran."""
        statistics.add_run(result)
        if result.close_reason is not None:
            self._released(result.close_reason).inc()
            self._batch_size.observe(result.batch_size)

    def observe_answer(self, seconds: Mapping[Stage, float], timings: Timings, statistics: Statistics) -> None:
        """Observes an answered image. seconds: the duration of each of its stages; timings: the same in ms."""
        statistics.add_image(timings)
        for stage, duration in seconds.items():
            self._stage(stage).observe(duration)

    def observe_prediction(self, label: str, probability: float) -> None:
        """Observes a classifier's most probable class."""
        self._prediction(label).inc()
        self._confidence.observe(probability)
