"""What stands between the network and the handlers: bounds of a connection, headers, keys, rates, the audit log."""

from collections.abc import Sequence
from pathlib import Path

from starlette.middleware import Middleware

from service.audit import Trail
from service.doors.audited import Audited
from service.doors.gate import Gate
from service.doors.headers import Secured
from service.doors.keys import Keys
from service.doors.origin import SameOrigin, cors
from service.settings import BadSettings, Settings


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
