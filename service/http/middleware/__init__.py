"""ASGI middleware: browser security, access log, tracing, authentication, the audit log and memory."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from starlette.middleware import Middleware

from service.http.middleware.access_log import AccessLogMiddleware
from service.http.middleware.auditing import AuditMiddleware
from service.http.middleware.authentication import AuthenticationMiddleware
from service.http.middleware.browser_security import SameOriginMiddleware, SecurityHeadersMiddleware, cors
from service.http.responses import MemoryMiddleware
from service.scheduling.memory_budget import MemoryBudget
from service.security.api_keys import KeyStore
from service.security.audit_log import AuditLog
from service.settings import InvalidSettings, Settings
from service.telemetry.metrics import Metrics


def middleware_stack(
    settings: Settings, *, observers: Sequence[Middleware], audit_log: AuditLog | None, memory: MemoryBudget
) -> list[Middleware]:
    """Returns the middleware that the settings ask for, outermost first. Raises InvalidSettings."""
    stack = [Middleware(SecurityHeadersMiddleware), *observers]
    if settings.cors_origins:  # before authentication: a browser's preflight carries no key
        stack.append(cors(settings.cors_origins))
    stack.append(Middleware(SameOriginMiddleware, allowed=settings.cors_origins))
    if settings.keys:
        shared_folder = Path(settings.engine_socket).with_name("rates") if settings.engine_socket else None
        keys = KeyStore(Path(settings.keys), shared_folder=shared_folder)
        stack.append(Middleware(AuthenticationMiddleware, keys=keys))
    if audit_log:
        stack.append(Middleware(AuditMiddleware, audit_log=audit_log))
    # Within the audit: an answer that waits for it counts.
    stack.append(Middleware(MemoryMiddleware, memory=memory, timeout_s=settings.timeout_s))
    return stack


def open_audit_log(settings: Settings) -> AuditLog | None:
    """Opens the audit log if the settings name one. Raises InvalidSettings."""
    if not settings.audit:
        return None
    try:
        return AuditLog(Path(settings.audit), file_bytes=settings.audit_file_bytes, gap=settings.audit_gap)
    except OSError as error:
        raise InvalidSettings(f"STRIATE_AUDIT={settings.audit}: the file cannot be written: {error}.") from error


def observers(
    settings: Settings,
    metrics: Metrics,
    *,
    routes: Collection[str],
    on_shutdown: Callable[[Callable[[], None]], object],
) -> list[Middleware]:
    """Returns the middleware that counts, logs and traces each request. Raises InvalidSettings.

    on_shutdown: registers a function to call when the service ends.
    """
    access_log = Middleware(AccessLogMiddleware, metrics=metrics, routes=routes)
    if not settings.traced:
        return [access_log]
    try:
        # An optional extra, whose import takes time and memory.
        from service.http.middleware.tracing import TracingMiddleware
    except ImportError as error:
        raise InvalidSettings("Sending traces to a collector needs the extra 'trace'.") from error
    return [access_log, Middleware(TracingMiddleware, endpoint=settings.trace_endpoint, on_shutdown=on_shutdown)]
