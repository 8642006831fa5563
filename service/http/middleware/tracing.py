"""OpenTelemetry traces, where a collector is named: a span a request, a span a stage within it, W3C context in and out.

What is sampled, the collector's headers and the size of batches are OpenTelemetry's own variables (OTEL_*). No span
holds a path, a file name or anything of an image.
"""

import time
from collections.abc import Callable

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.answers import Stage
from service.http.middleware.access_log import OTHER, PROBES, RequestContext
from service.telemetry.stopwatch import ON_STAGE

_MOST = 200  # spans of stages in one request: a large slide has thousands of tiles
_W3C = TraceContextTextMapPropagator()


class TracingMiddleware:
    """ASGI middleware, within Observed: every request but the probes is a span, and its answer says which."""

    def __init__(self, app: ASGIApp, *, endpoint: str, at_end: Callable[[Callable[[], None]], object]) -> None:
        """endpoint: the collector's base URL; empty: as OTEL_EXPORTER_OTLP_ENDPOINT says.

        at_end: given what sends the spans that are left; a worker ends by a signal, so atexit is never called.
        """
        self._app = app
        provider = _provider(endpoint)
        self._tracer = provider.get_tracer("striate")
        at_end(provider.shutdown)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._app(scope, receive, send)
            return
        exchange: RequestContext = scope["exchange"]
        sent = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        span = self._tracer.start_span(scope["method"], _W3C.extract(sent), SpanKind.SERVER)
        exchange.trace_id = format(span.get_span_context().trace_id, "032x")
        stages = ON_STAGE.set(Stages(self._tracer, span) if span.is_recording() else None)
        try:
            await self._app(scope, receive, _answering(send, span))
        except BaseException as error:
            span.set_status(StatusCode.ERROR, type(error).__name__)
            raise
        finally:
            ON_STAGE.reset(stages)
            _describe(span, scope, exchange)
            span.end()


class Stages:
    """Makes a span of each stage that has ended; in whatever thread that was."""

    def __init__(self, tracer: Tracer, parent: Span) -> None:
        self._tracer, self._within = tracer, set_span_in_context(parent)
        self._left = _MOST

    def __call__(self, name: Stage, seconds: float, ago: float) -> None:
        """It took so many seconds, and ended so many ago."""
        self._left -= 1
        if self._left >= 0:
            ended = time.time_ns() - int(1e9 * ago)
            self._tracer.start_span(name, self._within, start_time=ended - int(1e9 * seconds)).end(ended)


def _describe(span: Span, scope: Scope, exchange: RequestContext) -> None:
    route = getattr(scope.get("route"), "path", OTHER)
    span.update_name(f"{scope['method']} {route}")
    facts = {
        "http.request.method": scope["method"],
        "http.route": route,
        "http.response.status_code": exchange.status,
        "error.type": exchange.error,
        "striate.request_id": exchange.request_id,
        "striate.model": exchange.model,
        "striate.model.version": exchange.model_version,
    }
    span.set_attributes({name: value for name, value in facts.items() if value})
    if exchange.status >= 500:
        span.set_status(StatusCode.ERROR)


def _answering(send: Send, span: Span) -> Send:
    """send, which also says in the answer which span it came from."""
    carrier: dict[str, str] = {}
    _W3C.inject(carrier, set_span_in_context(span))
    said = [(name.encode(), value.encode()) for name, value in carrier.items()]

    async def answered(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *said]
        await send(message)

    return answered


def _provider(endpoint: str) -> TracerProvider:
    exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces" if endpoint else None)
    named = Resource({"service.name": "striate"}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=named, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider
