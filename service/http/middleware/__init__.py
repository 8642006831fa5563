"""What stands between the network and the handlers: bounds of a connection, headers, keys, rates, the audit log."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from starlette.middleware import Middleware

from service.http.middleware.access_log import AccessLogMiddleware
from service.http.middleware.auditing import AuditMiddleware
from service.http.middleware.authentication import AuthenticationMiddleware
from service.http.middleware.cross_origin import SameOriginMiddleware, cors
from service.http.middleware.security_headers import SecurityHeadersMiddleware
from service.security.api_keys import KeyStore
from service.security.audit_log import AuditLog
from service.settings import InvalidSettings, Settings
from service.telemetry.metrics import Metrics


def around(settings: Settings, *, observers: Sequence[Middleware], trail: AuditLog | None) -> list[Middleware]:
    """The doors that the settings ask for, outermost first, about the middleware that counts. Raises BadSettings."""
    doors = [Middleware(SecurityHeadersMiddleware), *observers]
    if settings.cors_origins:  # before the gate: a browser asks whether it may without the key
        doors.append(cors(settings.cors_origins))
    doors.append(Middleware(SameOriginMiddleware, allowed=settings.cors_origins))
    if settings.keys:
        together = Path(settings.engine_socket).with_name("rates") if settings.engine_socket else None
        doors.append(Middleware(AuthenticationMiddleware, keys=KeyStore(Path(settings.keys), together=together)))
    if trail:
        doors.append(Middleware(AuditMiddleware, trail=trail))
    return doors


def open_audit_log(settings: Settings) -> AuditLog | None:
    """The audit log, where there is one. Raises BadSettings."""
    if not settings.audit:
        return None
    try:
        return AuditLog(Path(settings.audit), file_bytes=settings.audit_file_bytes)
    except OSError as error:
        raise InvalidSettings(f"STRIATE_AUDIT={settings.audit}: it cannot be written: {error}.") from error


def observers(
    settings: Settings, metrics: Metrics, *, routes: Collection[str], at_end: Callable[[Callable[[], None]], object]
) -> list[Middleware]:
    """What counts, logs and traces each request. at_end: given what is to be called last. Raises BadSettings."""
    counted = Middleware(AccessLogMiddleware, metrics=metrics, routes=routes)
    if not settings.traced:
        return [counted]
    try:
        from service.http.middleware.tracing import (
            TracingMiddleware,  # what it imports takes time and memory, and is an extra
        )
    except ImportError as error:
        raise InvalidSettings("Traces are to be sent to a collector, which needs the extra 'trace'.") from error
    return [counted, Middleware(TracingMiddleware, endpoint=settings.trace_endpoint, at_end=at_end)]
