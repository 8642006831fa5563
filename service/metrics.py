"""The Prometheus metrics, declared once. Labels come from closed sets: routes, models, stages, codes, classes."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

CONTENT_TYPE = CONTENT_TYPE_LATEST
disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for every one, which nobody asks for
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_CONFIDENCE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_BATCH = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """One registry of its own, so that nothing but what stands here is exposed."""

    def __init__(self) -> None:
        self.registry = r = CollectorRegistry()
        self.requests = Counter("striate_requests_total", "Requests answered.", ["route", "status"], registry=r)
        self.request_duration = Histogram(
            "striate_request_duration_seconds", "From a request's arrival to its answer.", ["route"],
            buckets=_SECONDS, registry=r,
        )  # fmt: skip
        self.in_flight = Gauge("striate_in_flight_requests", "Requests being answered.", registry=r)
        self.stage_duration = Histogram(
            "striate_stage_duration_seconds", "What an image spends in each stage.", ["stage", "model"],
            buckets=_SECONDS, registry=r,
        )  # fmt: skip
        self.errors = Counter("striate_errors_total", "Errors answered, of a request or of one image.", ["code"],
                              registry=r)  # fmt: skip
        self.rejections = Counter("striate_rejections_total", "Requests that found the service too busy.", ["reason"],
                                  registry=r)  # fmt: skip
        self.queue_depth = Gauge("striate_queue_depth", "Items waiting or running.", ["model"], registry=r)
        self.batch_size = Histogram("striate_batch_size", "Images in one run of the network.", ["model"],
                                    buckets=_BATCH, registry=r)  # fmt: skip
        self.predictions = Counter("striate_predictions_total", "Images by their most probable class.",
                                   ["model", "label"], registry=r)  # fmt: skip
        self.confidence = Histogram("striate_confidence_ratio", "The most probable class's probability.", ["model"],
                                    buckets=_CONFIDENCE, registry=r)  # fmt: skip
        self.input_warnings = Counter("striate_input_warnings_total", "Warnings about images.", ["model", "code"],
                                      registry=r)  # fmt: skip
        self.model_info = Gauge("striate_model_info", "1 for each model that serves.",
                                ["model", "version", "sha256", "provider", "task"], registry=r)  # fmt: skip
        self.model_ready = Gauge("striate_model_ready", "1 where the package serves, 0 where it was refused.",
                                 ["model", "version"], registry=r)  # fmt: skip
        self.models_refused = Gauge("striate_models_refused", "Packages that were refused.", registry=r)

    def exposition(self) -> bytes:
        return generate_latest(self.registry)
