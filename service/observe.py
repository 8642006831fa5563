"""Around every request: its id, its metrics, its log line, and an answer to what nobody foresaw."""

import logging
import re
import time
import traceback
import uuid
from collections.abc import Collection
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import Internal, response
from service.logs import log
from service.metrics import Metrics

_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
OTHER = "other"
PROBES = {"/livez", "/readyz", "/healthz", "/metrics"}  # asked every few seconds, by machines
REJECTIONS = {"queue_full", "not_ready", "deadline_passed"}


@dataclass(slots=True)
class Exchange:
    """What is known of a request while it is answered; handlers fill in the model."""

    request_id: str
    started: float = field(default_factory=time.perf_counter)
    model: str | None = None
    status: int = 0
    error: str | None = None


def request_id(scope: Scope) -> str:
    """The caller's X-Request-ID if it is one that can stand in a header and a log, else a new one."""
    sent = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
    return sent if _ID.fullmatch(sent) else uuid.uuid4().hex


class Observed:
    """ASGI middleware, the outermost. routes: the templates that may become a metric's label."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, routes: Collection[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._routes = frozenset(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["exchange"] = exchange = Exchange(request_id(scope))
        with self._metrics.in_flight.track_inprogress():
            try:
                await self._app(scope, receive, noting(send, exchange))
            except Exception as error:  # noqa: BLE001  a bug, which must not take the server's own shape
                log_bug(error, exchange)
                if not exchange.status:
                    await response(Internal())(scope, receive, noting(send, exchange))
        self._finish(scope, exchange)

    def _finish(self, scope: Scope, exchange: Exchange) -> None:
        path = getattr(scope.get("route"), "path", OTHER)
        route = path if path in self._routes else OTHER
        seconds = time.perf_counter() - exchange.started
        self._metrics.requests.labels(route, str(exchange.status)).inc()
        self._metrics.request_duration.labels(route).observe(seconds)
        if exchange.error:
            count_error(self._metrics, exchange.error)
        fields = {
            "request_id": exchange.request_id,
            "route": route,
            "model": exchange.model,
            "status": exchange.status,
            "code": exchange.error,
            "ms": round(1e3 * seconds, 2),
        }
        log.log(logging.DEBUG if route in PROBES else logging.INFO, "request", extra={"fields": fields})


def count_error(metrics: Metrics, code: str) -> None:
    metrics.errors.labels(code).inc()
    if code in REJECTIONS:
        metrics.rejections.labels(code).inc()


def noting(send: Send, exchange: Exchange) -> Send:
    """send, which also puts the request's id in the answer and its status and error code in the exchange."""

    async def noted(message: Message) -> None:
        if message["type"] == "http.response.start":
            exchange.status = message["status"]
            headers = dict(message["headers"])
            exchange.error = headers.get(b"x-striate-error", b"").decode() or None
            message["headers"] = [*message["headers"], (b"x-request-id", exchange.request_id.encode())]
        await send(message)

    return noted


def log_bug(error: Exception, exchange: Exchange) -> None:
    """Where it happened and of what kind it is; not its message, which may quote what an image held."""
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    fields = {"request_id": exchange.request_id, "kind": type(error).__name__, "at": frames[-8:]}
    log.error("bug", extra={"fields": fields})
