"""The Prometheus metrics, declared once. Labels come from closed sets: routes, models, stages, codes, classes."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Literal, TypedDict

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from models.image import Image
from service.api.answers import InputWarning
from service.scheduling.work_item import InferenceResult

CONTENT_TYPE = CONTENT_TYPE_LATEST
disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for every one, which nobody asks for
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_CONFIDENCE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_BATCH = (1, 2, 4, 8, 16, 32, 64)
_DEVIATION = (-4.0, -2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 4.0)
_SIDE = tuple(2**n for n in range(4, 15))

ADDED = frozenset(
    {"striate_in_flight_requests", "striate_queue_depth"}
)  # the gauges of which processes have each a part

State = Literal["ready", "unloaded", "spare", "refused"]  # as GET /models has it


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """One version of a model as it is now. depth: images, or tiles of one, that wait or run."""

    model: str
    version: str
    state: State
    serves: bool = False
    sha256: str = ""
    provider: str = ""
    task: str = ""
    nbytes: int = 0
    depth: int = 0
    compared: int = 0
    differed: int = 0


class _Own(TypedDict):
    namespace: str
    registry: CollectorRegistry


class Metrics:
    """One registry of its own, so that nothing but what stands here is exposed.

    models, is_ready: asked at each scrape.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.models: Callable[[], Iterable[ModelFacts]] = tuple
        self.is_ready: Callable[[], bool] = bool
        self.registry.register(_Models(self))
        own: _Own = {"namespace": "striate", "registry": self.registry}
        counter, gauge, histogram = partial(Counter, **own), partial(Gauge, **own), partial(Histogram, **own)

        self.service_info = gauge(
            "service_info", "1; how the service was started.", ["version", "device", "gpu_engine"]
        )
        self.requests = counter("requests_total", "Requests answered.", ["route", "status"])
        self.request_duration = histogram(
            "request_duration_seconds", "From a request's arrival to its answer.", ["route"], buckets=SECONDS
        )
        self.in_flight = gauge("in_flight_requests", "Requests being answered.")
        self.errors = counter("errors_total", "Errors answered, of a request or of one image of several.", ["code"])
        self.rejections = counter("rejections_total", "Requests that found the service too busy.", ["reason"])

        self.stage_duration = histogram(
            "stage_duration_seconds", "What an image spent in each stage.", ["stage", "model"], buckets=SECONDS
        )
        self.queue_limit = gauge("queue_limit", "Images that may wait or run, for each model.")
        self.batch_size = histogram("batch_size", "Images in one run of the network.", ["model"], buckets=_BATCH)
        self.batches = counter("batches_total", "Runs by why no more images were in them.", ["model", "released"])
        self.failed_runs = counter("failed_runs_total", "Images on which the network itself failed.", ["model"])

        self.input_warnings = counter("input_warnings_total", "Warnings about images.", ["model", "code"])
        self.input_side = histogram(
            "input_side_pixels", "Root of an image's height times width, as sent.", ["model"], buckets=_SIDE
        )
        self.input_deviation = histogram(
            "input_deviation_ratio",
            "A figure of the prepared image: 0 in the middle of what 99 % of the training images have, 1 at its end.",
            ["model", "figure"],
            buckets=_DEVIATION,
        )
        self.inputs_outside = counter(
            "inputs_outside_total", "Images of which a figure is beyond that.", ["model", "figure", "side"]
        )
        self.predictions = counter("predictions_total", "Images by their most probable class.", ["model", "label"])
        self.confidence = histogram(
            "confidence_ratio", "The most probable class's probability.", ["model"], buckets=_CONFIDENCE
        )

        self.loop_lag = histogram("event_loop_lag_seconds", "How late a timer of the event loop came.", buckets=SECONDS)
        self.engine_starts = counter("engine_starts_total", "Starts of the engine process of several front ends.")

        self.of = cache(partial(ModelMetrics, self))
        self.scrape: Callable[[], bytes] = self.exposition  # multiprocess.Shares replaces it

    def exposition(self) -> bytes:
        """This process's own, as text."""
        return generate_latest(self.registry)


class ModelMetrics:
    """One model's own, each looked up once: finding a labelled child takes as long as counting with it."""

    def __init__(self, metrics: Metrics, model: str) -> None:
        self.stage = cache(lambda stage: metrics.stage_duration.labels(stage, model))
        self._prediction = cache(lambda label: metrics.predictions.labels(model, label))
        self._input_warning = cache(lambda code: metrics.input_warnings.labels(model, code))
        self._released = cache(lambda why: metrics.batches.labels(model, why.name.lower()))
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

    def took(self, image: Image, warnings: Iterable[InputWarning], deviates: Mapping[str, float]) -> None:
        """An image has been made ready. deviates: each figure as input_deviation_ratio has it."""
        self._input_side.observe(math.sqrt(image.height * image.width))
        for warning in warnings:
            self._input_warning(warning.code).inc()
        for figure, ratio in deviates.items():
            observe, low, high = self._figure(figure)
            observe(ratio)
            if ratio > 1:
                high()
            elif ratio < -1:
                low()

    def ran(self, ran: InferenceResult) -> None:
        """An image, or a tile of one, came back from the network."""
        if ran.released is not None:
            self._released(ran.released).inc()
            self._batch_size.observe(ran.batch_size)

    def predicted(self, label: str, probability: float) -> None:
        """A classifier's most probable class."""
        self._prediction(label).inc()
        self._confidence.observe(probability)


class _Models(Collector):
    """What is known of the models at this moment: nothing stays of those that have gone."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        known = tuple(self._metrics.models())
        refused = [facts for facts in known if facts.state == "refused"]
        serving = [facts for facts in known if facts.serves]
        yield single("ready", "1 where /readyz says 200.", self._metrics.is_ready())
        yield single("models_refused", "Packages that were refused.", len(refused))
        state = family("model_state", "1 for the state in which a version is.", "model version state")
        for facts in known:
            state.add_metric((facts.model, facts.version, facts.state), 1)
        ready = family("model_ready", "1 where the version serves, 0 where it was refused.", "model version")
        # Where a version serves and what was put in its place is refused, it serves.
        for name, serves in {(facts.model, facts.version): facts.serves for facts in (*refused, *serving)}.items():
            ready.add_metric(name, serves)
        yield from (state, ready, *_running(serving))


def _running(serving: Sequence[ModelFacts]) -> Iterator[Metric]:
    info = family("model_info", "1 for each version that serves.", "model version sha256 provider task")
    memory = family("model_memory_bytes", "Weights that are loaded.", "model version")
    compared = counted("shadow_compared", "Images that a shadow ran too.", "model version")
    differed = counted("shadow_differed", "Images on which a shadow decided otherwise.", "model version")
    depth = family("queue_depth", "Images, or tiles of one, that wait or run.", "model")
    for facts in serving:
        name = (facts.model, facts.version)
        info.add_metric((*name, facts.sha256, facts.provider, facts.task), 1)
        memory.add_metric(name, facts.nbytes if facts.state == "ready" else 0)
        compared.add_metric(name, facts.compared)
        differed.add_metric(name, facts.differed)
    for model in dict.fromkeys(facts.model for facts in serving):
        depth.add_metric([model], sum(facts.depth for facts in serving if facts.model == model))
    yield from (info, memory, compared, differed, depth)


def family(name: str, about: str, labels: str) -> GaugeMetricFamily:
    """An empty gauge; labels: their names, with spaces between."""
    return GaugeMetricFamily(f"striate_{name}", about, labels=labels.split())


def counted(name: str, about: str, labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"striate_{name}", about, labels=labels.split())


def single(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"striate_{name}", about, value=value)
