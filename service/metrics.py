"""The Prometheus metrics, declared once. Labels come from closed sets: routes, models, stages, codes, classes."""

from functools import partial
from typing import TypedDict

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

CONTENT_TYPE = CONTENT_TYPE_LATEST
disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for every one, which nobody asks for
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_CONFIDENCE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_BATCH = (1, 2, 4, 8, 16, 32, 64)


class _Own(TypedDict):
    namespace: str
    registry: CollectorRegistry


class Metrics:
    """One registry of its own, so that nothing but what stands here is exposed."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own: _Own = {"namespace": "striate", "registry": self.registry}
        counter, gauge, histogram = partial(Counter, **own), partial(Gauge, **own), partial(Histogram, **own)

        self.requests = counter("requests_total", "Requests answered.", ["route", "status"])
        self.request_duration = histogram(
            "request_duration_seconds", "From a request's arrival to its answer.", ["route"], buckets=_SECONDS
        )
        self.in_flight = gauge("in_flight_requests", "Requests being answered.")
        self.errors = counter("errors_total", "Errors answered, of a request or of one image of several.", ["code"])
        self.rejections = counter("rejections_total", "Requests that found the service too busy.", ["reason"])

        self.stage_duration = histogram(
            "stage_duration_seconds", "What an image spent in each stage.", ["stage", "model"], buckets=_SECONDS
        )
        self.queue_depth = gauge("queue_depth", "Images, or tiles of one, that wait or run.", ["model"])
        self.batch_size = histogram("batch_size", "Images in one run of the network.", ["model"], buckets=_BATCH)
        self.input_warnings = counter("input_warnings_total", "Warnings about images.", ["model", "code"])
        self.predictions = counter("predictions_total", "Images by their most probable class.", ["model", "label"])
        self.confidence = histogram(
            "confidence_ratio", "The most probable class's probability.", ["model"], buckets=_CONFIDENCE
        )

        self.model_info = gauge(
            "model_info", "1 for each model that serves.", ["model", "version", "sha256", "provider", "task"]
        )
        self.model_ready = gauge(
            "model_ready", "1 where the package serves, 0 where it was refused.", ["model", "version"]
        )
        self.models_refused = gauge("models_refused", "Packages that were refused.")

    def exposition(self) -> bytes:
        return generate_latest(self.registry)
