"""What can go wrong with a request, and the one place that turns an error into HTTP.

Every error answers `{"error": <a sentence>, "code": <a slug>}`; `STATUS` gives each class its status.
"""

from collections.abc import Iterable, Sequence
from typing import ClassVar

import orjson
from starlette.requests import Request
from starlette.responses import Response

from models.errors import (
    DamagedImage,
    ImageTooSmall,
    NotAnImage,
    NotFinite,
    StriateError,
    TooManyPixels,
    UnsupportedImage,
)

ERROR_HEADER = "X-Striate-Error"


def listed(names: Iterable[str]) -> str:
    """("a", "b") -> "'a', 'b'"; nothing at all -> "none"."""
    return ", ".join(f"'{name}'" for name in names) or "none"


class RequestError(StriateError):
    """The request cannot be understood or met as it was sent."""


class MalformedRequest(RequestError):
    code = "malformed_request"


class MissingField(RequestError):
    code = "missing_field"

    def __init__(self, fields: Sequence[str]) -> None:
        noun = "field" if len(fields) == 1 else "fields"
        super().__init__(f"The request lacks the {noun} {' and '.join(fields)}.")


class UnknownField(RequestError):
    code = "unknown_field"

    def __init__(self, fields: Iterable[str], *, allowed: Iterable[str]) -> None:
        super().__init__(f"The request has the unknown field {listed(fields)}; allowed here are {listed(allowed)}.")


class UrlNotFetched(RequestError):
    code = "url_not_fetched"

    def __init__(self) -> None:
        super().__init__("The field 'image' holds a URL; nothing is fetched, so send the file's own bytes.")


class InvalidOption(RequestError):
    code = "invalid_option"

    def __init__(self, field: str, value: object, reason: str) -> None:
        super().__init__(f"{field} = {str(value)[:100]!r} is not allowed: {reason.rstrip('.')}.")


class TooManyBytes(RequestError):
    code = "too_many_bytes"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The request's body is larger than the {limit:,} bytes that this service takes.")


class TooManyImages(RequestError):
    code = "too_many_images"

    def __init__(self, count: int, *, limit: int) -> None:
        super().__init__(f"The request has {count} images; this route takes at most {limit}.")


class UnsupportedBody(RequestError):
    code = "unsupported_body"

    def __init__(self, content_type: str) -> None:
        super().__init__(
            f"The Content-Type is {content_type[:100]!r}; send multipart/form-data, or an image/* body by itself."
        )


class UnknownModel(RequestError):
    code = "unknown_model"

    def __init__(self, name: str, *, served: Iterable[str]) -> None:
        super().__init__(f"There is no model {name[:100]!r}; served are {listed(served)}.")


class WrongTask(RequestError):
    code = "wrong_task"

    def __init__(self, name: str, *, task: str, asked: str, able: Iterable[str]) -> None:
        super().__init__(f"The model {name!r} does {task}, not {asked}; for {asked} take one of: {listed(able)}.")


class NoMap(RequestError):
    code = "no_map"

    def __init__(self, name: str) -> None:
        super().__init__(f"The model {name!r} was exported without class activation maps.")


class UnknownLabel(RequestError):
    code = "unknown_label"

    def __init__(self, label: str, *, model: str, labels: Iterable[str]) -> None:
        super().__init__(f"The model {model!r} has no label {label[:100]!r}; it has {listed(labels)}.")


class ValuesTooLarge(RequestError):
    code = "values_too_large"

    def __init__(self, *, low: float, high: float) -> None:
        super().__init__(
            f"The image's values, from {low:.4g} to {high:.4g}, are too large for this model: they overflow."
        )


class TooManyObjects(RequestError):
    code = "too_many_objects"

    def __init__(self, count: int) -> None:
        super().__init__(
            f"There are {count:,} objects; a PNG numbers at most 65,535. format=measurements lists them all."
        )


class NoSuchRoute(RequestError):
    code = "no_such_route"

    def __init__(self, routes: Iterable[str]) -> None:
        super().__init__(f"There is nothing at this path; the routes are {', '.join(routes)}.")


class MethodNotAllowed(RequestError):
    code = "method_not_allowed"

    def __init__(self, method: str, *, allowed: Sequence[str]) -> None:
        self.allowed = allowed
        super().__init__(f"{method[:20]} is not allowed here; use {' or '.join(allowed)}.")


class Busy(StriateError):
    """The request is right, and can be sent again."""

    retry_after_s: ClassVar[int] = 1


class QueueFull(Busy):
    code = "queue_full"

    def __init__(self, length: int) -> None:
        super().__init__(f"{length} images are waiting already, which is all that may; send it again later.")


class NotReady(Busy):
    code = "not_ready"
    retry_after_s = 5


class DeadlinePassed(StriateError):
    code = "deadline_passed"

    def __init__(self, timeout_s: float) -> None:
        super().__init__(f"The answer was not ready within {timeout_s:g} s.")


class Internal(StriateError):
    code = "internal"

    def __init__(self) -> None:
        super().__init__("Something failed inside the service; the log has it under this request's X-Request-ID.")


STATUS: dict[type[StriateError], int] = {
    MalformedRequest: 400,
    MissingField: 400,
    UnknownField: 400,
    UrlNotFetched: 400,
    UnknownModel: 404,
    NoSuchRoute: 404,
    MethodNotAllowed: 405,
    TooManyBytes: 413,
    TooManyPixels: 413,
    TooManyImages: 413,
    NotAnImage: 415,
    UnsupportedBody: 415,
    DamagedImage: 422,
    UnsupportedImage: 422,
    ImageTooSmall: 422,
    NotFinite: 422,
    ValuesTooLarge: 422,
    WrongTask: 422,
    NoMap: 422,
    UnknownLabel: 422,
    InvalidOption: 422,
    TooManyObjects: 422,
    QueueFull: 429,
    Internal: 500,
    NotReady: 503,
    DeadlinePassed: 504,
}


def response(error: StriateError) -> Response:
    """The error as HTTP; its class must be in STATUS."""
    headers = {ERROR_HEADER: error.code}
    if isinstance(error, Busy):
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = ", ".join(error.allowed)
    body = orjson.dumps({"error": str(error), "code": error.code})
    return Response(body, STATUS[type(error)], headers, "application/json")


def handle(_: Request, error: Exception) -> Response:
    """Starlette's exception handler for StriateError; one that has no status is a bug, and goes on as such."""
    if isinstance(error, StriateError) and type(error) in STATUS:
        return response(error)
    raise error
