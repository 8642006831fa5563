"""Prometheus metrics, declared once. Labels come from closed sets: routes, models, stages, codes, classes."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypedDict

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_LATEST
disable_created_metrics()  # type: ignore[no-untyped-call]  # it would add a second series for each one
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_CONFIDENCE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_BATCH = (1, 2, 4, 8, 16, 32, 64)
_DEVIATION = (-4.0, -2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 4.0)
_SIDE = tuple(2**n for n in range(4, 15))

SUMMED_GAUGES = frozenset(  # others are equal in all processes
    {"striate_in_flight_requests", "striate_queue_depth", "striate_preparing_images", "striate_reserved_bytes"}
)

State = Literal["ready", "unloaded", "inactive", "invalid"]  # as GET /models has it


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The current state of one model version. depth: images or tiles that wait or run."""

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


class _MetricOptions(TypedDict):
    namespace: str
    registry: CollectorRegistry


class Metrics:
    """The metrics of one process, in a registry of their own: only what is declared here is exposed.

    models, is_ready, is_repository_available: called at each scrape.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.models: Callable[[], Iterable[ModelFacts]] = tuple
        self.is_ready: Callable[[], bool] = bool
        self.is_repository_available: Callable[[], bool] = bool
        self.registry.register(_ModelCollector(self))
        options: _MetricOptions = {"namespace": "striate", "registry": self.registry}
        counter, gauge, histogram = (
            partial(Counter, **options),
            partial(Gauge, **options),
            partial(Histogram, **options),
        )

        self.service_info = gauge("service_info", "1; the configuration at start.", ["version", "device", "gpu_engine"])
        self.requests = counter("requests_total", "Requests answered.", ["route", "status"])
        self.request_duration = histogram(
            "request_duration_seconds", "Time from the arrival of a request to its answer.", ["route"], buckets=SECONDS
        )
        self.in_flight = gauge("in_flight_requests", "Requests in progress.")
        self.preparing = gauge("preparing_images", "Images that wait for a worker thread, or that one prepares.")
        self.reserved = gauge("reserved_bytes", "Memory reserved by requests, of the budget or beside it.", ["room"])
        self.errors = counter("errors_total", "Errors of requests or of single images.", ["code"])
        self.rejections = counter("rejections_total", "Requests rejected: busy or not ready.", ["reason"])

        self.stage_duration = histogram(
            "stage_duration_seconds", "Time that an image spends in each stage.", ["stage", "model"], buckets=SECONDS
        )
        self.queue_limit = gauge("queue_limit", "Limit of queue_depth, per model.")
        self.batch_size = histogram(
            "batch_size", "Number of images in a run of the network.", ["model"], buckets=_BATCH
        )
        self.batches = counter("batches_total", "Runs by the reason why the batch was closed.", ["model", "released"])
        self.failed_runs = counter("failed_runs_total", "Images on which the network failed.", ["model"])

        self.input_warnings = counter("input_warnings_total", "Warnings returned with answers.", ["model", "code"])
        self.input_side = histogram(
            "input_side_pixels", "Square root of the pixel count of the image as sent.", ["model"], buckets=_SIDE
        )
        self.input_deviation = histogram(
            "input_deviation_ratio",
            "Statistic of the prepared image, scaled so that -1 to 1 is the range of 99 % of the training images.",
            ["model", "figure"],
            buckets=_DEVIATION,
        )
        self.inputs_outside = counter(
            "inputs_outside_total", "Images with a statistic outside that range.", ["model", "figure", "side"]
        )
        self.predictions = counter("predictions_total", "Images by their most probable class.", ["model", "label"])
        self.confidence = histogram(
            "confidence_ratio", "Probability of the most probable class.", ["model"], buckets=_CONFIDENCE
        )

        self.loop_lag = histogram("event_loop_lag_seconds", "Delay of a timer of the event loop.", buckets=SECONDS)
        self.engine_starts = counter("engine_starts_total", "Starts of the engine process (several front ends only).")

        self.scrape: Callable[[], bytes] = (
            self.exposition
        )  # background_telemetry replaces it if there are several processes

    def exposition(self) -> bytes:
        """Returns the exposition text of this process."""
        return generate_latest(self.registry)


class _ModelCollector(Collector):
    """A collector of the current models: series of removed models disappear."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        models = tuple(self._metrics.models())
        invalid = [facts for facts in models if facts.state == "invalid"]
        serving = [facts for facts in models if facts.serves]
        yield single_gauge("ready", "1 if /readyz returns 200, otherwise 0.", self._metrics.is_ready())
        available = self._metrics.is_repository_available()
        yield single_gauge("repository_available", "0 if the folder of the packages is missing or empty.", available)
        yield single_gauge("models_refused", "Number of invalid packages.", len(invalid))
        state = gauge_family("model_state", "1 for the current state of a version.", "model version state")
        for facts in models:
            state.add_metric((facts.model, facts.version, facts.state), 1)
        ready = gauge_family("model_ready", "1 if the version serves, 0 if it is invalid.", "model version")
        # A version that serves although its replacement in the folder is invalid counts as serving.
        for name, serves in {(facts.model, facts.version): facts.serves for facts in (*invalid, *serving)}.items():
            ready.add_metric(name, serves)
        yield from (state, ready, *_serving_metrics(serving))


def _serving_metrics(serving: Sequence[ModelFacts]) -> Iterator[Metric]:
    info = gauge_family("model_info", "1 for each version that serves.", "model version sha256 provider task")
    memory = gauge_family("model_memory_bytes", "Size of the loaded weights.", "model version")
    compared = counter_family("shadow_compared", "Images that a shadow has re-run.", "model version")
    differed = counter_family("shadow_differed", "Images on which the shadow's decision differs.", "model version")
    depth = gauge_family("queue_depth", "Images or tiles in the queue or running.", "model")
    for facts in serving:
        name = (facts.model, facts.version)
        info.add_metric((*name, facts.sha256, facts.provider, facts.task), 1)
        memory.add_metric(name, facts.nbytes if facts.state == "ready" else 0)
        compared.add_metric(name, facts.compared)
        differed.add_metric(name, facts.differed)
    for model in dict.fromkeys(facts.model for facts in serving):
        depth.add_metric([model], sum(facts.depth for facts in serving if facts.model == model))
    yield from (info, memory, compared, differed, depth)


def gauge_family(name: str, help_text: str, labels: str) -> GaugeMetricFamily:
    """Returns an empty gauge; labels: names separated by spaces."""
    return GaugeMetricFamily(f"striate_{name}", help_text, labels=labels.split())


def counter_family(name: str, help_text: str, labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"striate_{name}", help_text, labels=labels.split())


def single_gauge(name: str, help_text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"striate_{name}", help_text, value=value)
