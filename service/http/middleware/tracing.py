"""OpenTelemetry tracing: a span per request, a child span per stage, and W3C trace context in and out.

Sampling, the collector's headers and batch sizes are set by OpenTelemetry's own variables (OTEL_*). No span holds a
path, a file name or image contents.
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
from service.http.middleware.access_log import OTHER, PROBES
from service.telemetry.request_context import RequestContext

_MAX_STAGE_SPANS = 200  # per request: a large slide has thousands of tiles
_W3C = TraceContextTextMapPropagator()


class TracingMiddleware:
    """ASGI middleware inside AccessLogMiddleware: every request except a probe is a span, named in its response."""

    def __init__(self, app: ASGIApp, *, endpoint: str, on_shutdown: Callable[[Callable[[], None]], object]) -> None:
        """endpoint: the collector's base URL; empty to use OTEL_EXPORTER_OTLP_ENDPOINT.

        on_shutdown: registers the function that sends the remaining spans. atexit would never call it, since a worker
        is ended by a signal.
        """
        self._app = app
        provider = _provider(endpoint)
        self._tracer = provider.get_tracer("striate")
        on_shutdown(provider.shutdown)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._app(scope, receive, send)
            return
        context: RequestContext = scope["context"]
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        span = self._tracer.start_span(scope["method"], _W3C.extract(headers), SpanKind.SERVER)
        context.trace_id = format(span.get_span_context().trace_id, "032x")
        context.on_stage = StageSpans(self._tracer, span) if span.is_recording() else None
        try:
            await self._app(scope, receive, _propagating_send(send, span))
        except BaseException as error:
            span.set_status(StatusCode.ERROR, type(error).__name__)
            raise
        finally:
            _describe(span, scope, context)
            span.end()


class StageSpans:
    """A callback that makes a span of each stage that has ended, on any thread."""

    def __init__(self, tracer: Tracer, parent: Span) -> None:
        self._tracer, self._context = tracer, set_span_in_context(parent)
        self._remaining = _MAX_STAGE_SPANS

    def __call__(self, name: Stage, seconds: float, ago: float) -> None:
        """Records a stage that took `seconds` and ended `ago` seconds ago."""
        self._remaining -= 1
        if self._remaining >= 0:
            ended = time.time_ns() - int(1e9 * ago)
            self._tracer.start_span(name, self._context, start_time=ended - int(1e9 * seconds)).end(ended)


def _describe(span: Span, scope: Scope, context: RequestContext) -> None:
    route = getattr(scope.get("route"), "path", OTHER)
    span.update_name(f"{scope['method']} {route}")
    facts = {
        "http.request.method": scope["method"],
        "http.route": route,
        "http.response.status_code": context.status,
        "error.type": context.error,
        "striate.request_id": context.request_id,
        "striate.model": context.model,
        "striate.model.version": context.model_version,
    }
    span.set_attributes({name: value for name, value in facts.items() if value})
    if context.status >= 500:
        span.set_status(StatusCode.ERROR)


def _propagating_send(send: Send, span: Span) -> Send:
    """Wraps `send`: adds the span's trace context to the response headers."""
    carrier: dict[str, str] = {}
    _W3C.inject(carrier, set_span_in_context(span))
    headers = [(name.encode(), value.encode()) for name, value in carrier.items()]

    async def send_propagated(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *headers]
        await send(message)

    return send_propagated


def _provider(endpoint: str) -> TracerProvider:
    exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces" if endpoint else None)
    resource = Resource({"service.name": "striate"}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider
