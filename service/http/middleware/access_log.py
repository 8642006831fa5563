"""Around every request: its id, its metrics, its log line, and an answer to what nobody foresaw."""

import os
import re
import time
import traceback
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models.package import Package
from service.errors import CallerGone, Internal, NotReady, QueueFull
from service.http.errors import STATUS, response
from service.telemetry.log import Level, log
from service.telemetry.metrics import Metrics

_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
OTHER = "other"
Outcome = Literal["answered", "refused", "turned_away", "failed", "left"]
PROBES = {"/livez", "/readyz", "/healthz", "/metrics"}  # asked every few seconds, by machines
REJECTIONS = {"queue_full", "not_ready", "deadline_passed", "rate_limited", "memory_full", "audit_unavailable"}


@dataclass(slots=True)
class RequestContext:
    """What is known of a request while it is answered; handlers fill in the model and the images, for the audit log."""

    request_id: str
    started: float = field(default_factory=time.perf_counter)
    trace_id: str | None = None
    model: str | None = None
    model_version: str | None = None
    model_sha256: str | None = None
    images: tuple[bytes | memoryview, ...] = ()
    key: str | None = None
    status: int = 0
    error: str | None = None

    def asks(self, package: Package) -> None:
        """It is this model's."""
        self.model, self.model_version, self.model_sha256 = package.spec.name, package.spec.version, package.sha256


def request_id(scope: Scope) -> str:
    """The caller's X-Request-ID if it is one that can stand in a header and a log, else a new one."""
    sent = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
    return sent if _ID.fullmatch(sent) else os.urandom(16).hex()


class AccessLogMiddleware:
    """ASGI middleware, about all others but Secured. routes: the templates that may become a metric's label."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, routes: Collection[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._routes = frozenset(routes)
        self._requests = cache(metrics.requests.labels)  # labels() looks a series up anew each time
        self._durations = cache(metrics.request_duration.labels)
        for error in STATUS:  # a counter that begins at 1 has not increased, to Prometheus
            metrics.errors.labels(error.code)
        for reason in REJECTIONS:
            metrics.rejections.labels(reason)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["exchange"] = exchange = RequestContext(request_id(scope))
        with self._metrics.in_flight.track_inprogress():
            try:
                await self._app(scope, receive, noting(send, exchange))
            except Exception as error:  # noqa: BLE001  a bug, which must not take the server's own shape
                log_bug(error, exchange)
                if not exchange.status:
                    await response(Internal())(scope, receive, noting(send, exchange))
        self._finish(scope, exchange)

    def _finish(self, scope: Scope, exchange: RequestContext) -> None:
        path = getattr(scope.get("route"), "path", OTHER)
        route = path if path in self._routes else OTHER
        seconds = time.perf_counter() - exchange.started
        self._requests(route, str(exchange.status)).inc()
        self._durations(route).observe(seconds)
        if exchange.error:
            count_error(self._metrics, exchange.error)
        level: Level = "debug" if route in PROBES else "info"
        if log.wants(level):
            log.write(level, "request", **told(exchange, route, seconds))


def told(exchange: RequestContext, route: str, seconds: float) -> dict[str, object]:
    """A request's line in the log."""
    fields: dict[str, object] = {
        "request_id": exchange.request_id,
        "route": route,
        "model": exchange.model,
        "version": exchange.model_version,
        "status": exchange.status,
        "outcome": outcome(exchange.status),
        "code": exchange.error,
        "duration_ms": round(1e3 * seconds, 2),
    }
    return fields if exchange.trace_id is None else {**fields, "trace_id": exchange.trace_id}


def outcome(status: int) -> Outcome:
    """What became of a request, in a word."""
    if status == STATUS[CallerGone]:
        return "left"
    if status in (STATUS[QueueFull], STATUS[NotReady]):
        return "turned_away"
    return "failed" if status >= 500 else "refused" if status >= 400 else "answered"


def count_error(metrics: Metrics, code: str) -> None:
    metrics.errors.labels(code).inc()
    if code in REJECTIONS:
        metrics.rejections.labels(code).inc()


def noting(send: Send, exchange: RequestContext) -> Send:
    """send, which also puts the request's id in the answer and its status and error code in the exchange."""

    async def noted(message: Message) -> None:
        if message["type"] == "http.response.start":
            exchange.status = message["status"]
            headers = dict(message["headers"])
            exchange.error = headers.get(b"x-striate-error", b"").decode() or None
            message["headers"] = [*message["headers"], (b"x-request-id", exchange.request_id.encode())]
        await send(message)

    return noted


def log_bug(error: Exception, exchange: RequestContext) -> None:
    """Where it happened and of what kind it is; not its message, which may quote what an image held."""
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    log.write("error", "bug", request_id=exchange.request_id, kind=type(error).__name__, at=frames[-8:])
