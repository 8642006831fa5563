"""What stands between the network and the handlers: bounds of a connection, headers, keys, rates, the audit log."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from starlette.middleware import Middleware

from service.http.middleware.access_log import Observed
from service.http.middleware.auditing import Audited
from service.http.middleware.authentication import Gate
from service.http.middleware.cross_origin import SameOrigin, cors
from service.http.middleware.security_headers import Secured
from service.security.api_keys import Keys
from service.security.audit_log import Trail
from service.settings import BadSettings, Settings
from service.telemetry.metrics import Metrics


def around(settings: Settings, *, observers: Sequence[Middleware], trail: Trail | None) -> list[Middleware]:
    """The doors that the settings ask for, outermost first, about the middleware that counts. Raises BadSettings."""
    doors = [Middleware(Secured), *observers]
    if settings.cors_origins:  # before the gate: a browser asks whether it may without the key
        doors.append(cors(settings.cors_origins))
    doors.append(Middleware(SameOrigin, allowed=settings.cors_origins))
    if settings.keys:
        together = Path(settings.engine_socket).with_name("rates") if settings.engine_socket else None
        doors.append(Middleware(Gate, keys=Keys(Path(settings.keys), together=together)))
    if trail:
        doors.append(Middleware(Audited, trail=trail))
    return doors


def audit_trail(settings: Settings) -> Trail | None:
    """The audit log, where there is one. Raises BadSettings."""
    if not settings.audit:
        return None
    try:
        return Trail(Path(settings.audit), file_bytes=settings.audit_file_bytes)
    except OSError as error:
        raise BadSettings(f"STRIATE_AUDIT={settings.audit}: it cannot be written: {error}.") from error


def observers(
    settings: Settings, metrics: Metrics, *, routes: Collection[str], at_end: Callable[[Callable[[], None]], object]
) -> list[Middleware]:
    """What counts, logs and traces each request. at_end: given what is to be called last. Raises BadSettings."""
    counted = Middleware(Observed, metrics=metrics, routes=routes)
    if not settings.traced:
        return [counted]
    try:
        from service.http.middleware.tracing import Traced  # what it imports takes time and memory, and is an extra
    except ImportError as error:
        raise BadSettings("Traces are to be sent to a collector, which needs the extra 'trace'.") from error
    return [counted, Middleware(Traced, endpoint=settings.trace_endpoint, at_end=at_end)]
