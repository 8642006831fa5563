"""Errors as HTTP: each answers `{"error": <a sentence>, "code": <a slug>}`; `STATUS` gives its class a status."""

import orjson
from starlette.requests import Request
from starlette.responses import Response

from models.errors import (
    BadSignal,
    DamagedImage,
    ImageTooSmall,
    NotAnImage,
    NotASignal,
    NotFinite,
    StriateError,
    TooManyPixels,
    UnsupportedImage,
)
from service.errors import (
    AuditUnavailable,
    BadTensor,
    Busy,
    CallerGone,
    CannotServe,
    CrossOrigin,
    DeadlinePassed,
    ImageTooLarge,
    Internal,
    InvalidOption,
    InvalidRollouts,
    KeyMissing,
    KeyUnknown,
    MalformedRequest,
    MemoryFull,
    MethodNotAllowed,
    MissingField,
    NoMap,
    NoPicture,
    NoSuchRoute,
    NotReady,
    QueueFull,
    RateLimited,
    RolloutsNotWritable,
    ScopeMissing,
    TooLargeForOnePass,
    TooManyBytes,
    TooManyImages,
    TooManyObjects,
    UnknownField,
    UnknownFile,
    UnknownLabel,
    UnknownLayer,
    UnknownMethod,
    UnknownModel,
    UnknownTensor,
    UnknownVersion,
    UnsupportedBody,
    UnsupportedEncoding,
    UrlNotFetched,
    ValuesTooLarge,
    WrongTask,
)

ERROR_HEADER = "X-Striate-Error"

STATUS: dict[type[StriateError], int] = {
    MalformedRequest: 400,
    MissingField: 400,
    UnknownField: 400,
    UrlNotFetched: 400,
    KeyMissing: 401,
    KeyUnknown: 401,
    ScopeMissing: 403,
    CrossOrigin: 403,
    UnknownModel: 404,
    UnknownFile: 404,
    UnknownVersion: 404,
    NoSuchRoute: 404,
    MethodNotAllowed: 405,
    InvalidRollouts: 409,
    RolloutsNotWritable: 409,
    CannotServe: 409,
    TooManyBytes: 413,
    TooManyPixels: 413,
    ImageTooLarge: 413,
    TooManyImages: 413,
    TooLargeForOnePass: 413,
    NotAnImage: 415,
    NotASignal: 415,
    UnsupportedBody: 415,
    UnsupportedEncoding: 415,
    BadSignal: 422,
    DamagedImage: 422,
    UnsupportedImage: 422,
    ImageTooSmall: 422,
    NotFinite: 422,
    ValuesTooLarge: 422,
    WrongTask: 422,
    NoMap: 422,
    NoPicture: 422,
    UnknownLabel: 422,
    UnknownMethod: 422,
    UnknownLayer: 422,
    InvalidOption: 422,
    UnknownTensor: 422,
    BadTensor: 422,
    TooManyObjects: 422,
    QueueFull: 429,
    RateLimited: 429,
    CallerGone: 499,
    Internal: 500,
    NotReady: 503,
    MemoryFull: 503,
    AuditUnavailable: 503,
    DeadlinePassed: 504,
}


def response(error: StriateError) -> Response:
    """The error as HTTP; its class must be in STATUS."""
    headers = {ERROR_HEADER: error.code}
    if isinstance(error, Busy):
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = ", ".join(error.allowed)
    if isinstance(error, KeyMissing | KeyUnknown | ScopeMissing):
        headers["WWW-Authenticate"] = challenge(error)
    body = orjson.dumps({"error": str(error), "code": error.code})
    return Response(body, STATUS[type(error)], headers, "application/json")


def challenge(error: KeyMissing | KeyUnknown | ScopeMissing) -> str:
    """What to bring, as RFC 6750 says it."""
    if isinstance(error, ScopeMissing):
        return f'Bearer realm="striate", error="insufficient_scope", scope="{error.scope}"'
    return 'Bearer realm="striate"' + (', error="invalid_token"' if isinstance(error, KeyUnknown) else "")


def handle(_: Request, error: Exception) -> Response:
    """Starlette's exception handler for StriateError and MemoryError; one without status is a bug, and stays one."""
    if known := answerable(error):
        return response(known)
    raise error


def answerable(error: BaseException) -> StriateError | None:
    """What the caller is told; None where it is a bug. Memory may run out wherever it is asked for."""
    if isinstance(error, MemoryError):
        return MemoryFull()
    return error if isinstance(error, StriateError) and type(error) in STATUS else None
