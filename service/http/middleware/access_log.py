"""Access log: the id, metrics and log line of every request, and the response to an unhandled exception."""

import os
import re
import time
from collections.abc import Collection
from functools import cache
from typing import Literal

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models.errors import StriateError
from service.errors import NotReady, QueueFull
from service.http.errors import CallerGone, Internal, forget_frames, members, response
from service.telemetry.log import LogLevel, log
from service.telemetry.metrics import Metrics
from service.telemetry.request_context import RequestContext

_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
OTHER = "other"
RequestOutcome = Literal["answered", "invalid", "rejected", "failed", "client_closed"]
PROBES = {"/livez", "/readyz", "/healthz", "/metrics"}  # requested every few seconds by machines
REJECTIONS = {"queue_full", "not_ready", "deadline_passed", "rate_limited", "memory_full", "audit_unavailable"}


def request_id(scope: Scope) -> str:
    """Returns the caller's X-Request-ID if it is safe in a header and a log, else a new one."""
    sent = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
    return sent if _ID.fullmatch(sent) else os.urandom(16).hex()


class AccessLogMiddleware:
    """ASGI middleware inside SecurityHeadersMiddleware. routes: path templates that may become a metric's label."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, routes: Collection[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._routes = frozenset(routes)
        self._requests = cache(metrics.requests.labels)  # labels() searches for the series on each call
        self._durations = cache(metrics.request_duration.labels)
        for error in members(StriateError):  # Prometheus sees no increase in a counter that begins at 1
            metrics.errors.labels(error.code)
        for reason in REJECTIONS:
            metrics.rejections.labels(reason)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["context"] = context = RequestContext(request_id(scope))
        with self._metrics.in_flight.track_inprogress():
            try:
                await self._app(scope, receive, recording_send(send, context))
            except Exception as error:  # noqa: BLE001  a bug must not be answered in the server's format
                log.exception(error, request_id=context.request_id)
                forget_frames(error)
                if not context.status:
                    await response(Internal())(scope, receive, recording_send(send, context))
        self._finish(scope, context)
        context.images = ()  # a connection that rests keeps the context of its last request

    def _finish(self, scope: Scope, context: RequestContext) -> None:
        path = getattr(scope.get("route"), "path", OTHER)
        route = path if path in self._routes else OTHER
        seconds = time.perf_counter() - context.started
        self._requests(route, str(context.status)).inc()
        self._durations(route).observe(seconds)
        if context.error:
            count_error(self._metrics, context.error)
        level: LogLevel = "debug" if route in PROBES else "info"
        if log.is_enabled(level):
            log.write(level, "request", **log_fields(context, route, seconds))


def log_fields(context: RequestContext, route: str, seconds: float) -> dict[str, object]:
    """Returns the fields of a request's log line."""
    fields: dict[str, object] = {
        "request_id": context.request_id,
        "route": route,
        "model": context.model,
        "version": context.model_version,
        "status": context.status,
        "outcome": outcome(context.status),
        "code": context.error,
        "duration_ms": round(1e3 * seconds, 2),
    }
    return fields if context.trace_id is None else {**fields, "trace_id": context.trace_id}


def outcome(status: int) -> RequestOutcome:
    if status == CallerGone.status:
        return "client_closed"
    if status in (QueueFull.status, NotReady.status):
        return "rejected"
    return "failed" if status >= 500 else "invalid" if status >= 400 else "answered"


def count_error(metrics: Metrics, code: str) -> None:
    metrics.errors.labels(code).inc()
    if code in REJECTIONS:
        metrics.rejections.labels(code).inc()


def recording_send(send: Send, context: RequestContext) -> Send:
    """Wraps `send`: adds the request id to the response, and records its status and error code in the context."""

    async def send_recorded(message: Message) -> None:
        if message["type"] == "http.response.start":
            context.status = message["status"]
            headers = dict(message["headers"])
            context.error = headers.get(b"x-striate-error", b"").decode() or None
            message["headers"] = [*message["headers"], (b"x-request-id", context.request_id.encode())]
        await send(message)

    return send_recorded
