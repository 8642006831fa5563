"""HTTP's own errors, and every error as a response: `{"error": <a sentence>, "code": <a slug>}`."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE, CO_GENERATOR
from traceback import walk_tb

import orjson
from starlette.requests import Request
from starlette.responses import Response

from models.errors import StriateError
from service.errors import InputError, MemoryFull, RequestError, RetryLater, listed, listed_in_part

ERROR_HEADER = "X-Striate-Error"
_SUSPENDABLE = CO_ASYNC_GENERATOR | CO_COROUTINE | CO_GENERATOR


class MalformedRequest(RequestError):
    status, code = 400, "malformed_request"


class FormError(RequestError):
    """The form or the image body does not fit the route."""


class MissingField(FormError):
    status, code = 400, "missing_field"

    def __init__(self, fields: Sequence[str]) -> None:
        noun = "field" if len(fields) == 1 else "fields"
        super().__init__(f"The request lacks the {noun} {' and '.join(fields)}.")


class UnknownField(FormError):
    status, code = 400, "unknown_field"

    def __init__(self, fields: Sequence[str], *, allowed: Iterable[str]) -> None:
        super().__init__(f"Unknown field: {listed_in_part(fields)}; allowed are {listed(allowed)}.")


class UrlNotFetched(FormError):
    status, code = 400, "url_not_fetched"

    def __init__(self) -> None:
        super().__init__("The field 'image' holds a URL; nothing is fetched, so send the file's own bytes.")


class UnsupportedBody(FormError):
    status, code = 415, "unsupported_body"

    def __init__(self, content_type: str) -> None:
        super().__init__(
            f"The Content-Type {content_type[:100]!r} is not supported; send multipart/form-data or an image/* body,"
            " to a model of signals also application/json or application/x-npy."
        )


class TensorError(RequestError):
    """A request of the Open Inference Protocol does not fit the model's tensors."""


class UnsupportedEncoding(TensorError):
    status, code = 415, "unsupported_encoding"

    def __init__(self, encoding: str, *, allowed: Iterable[str]) -> None:
        super().__init__(
            f"The Content-Encoding {encoding[:100]!r} is not supported; send the body unencoded, or as"
            f" {listed(allowed)}."
        )


class UnknownTensor(TensorError):
    status, code = 422, "unknown_tensor"

    def __init__(self, name: str, *, kind: str, model: str, allowed: Iterable[str]) -> None:
        super().__init__(f"The model {model!r} has no {kind} {name[:100]!r}; it has {listed(allowed)}.")


class BadTensor(TensorError):
    status, code = 422, "bad_tensor"

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"The tensor {name!r} cannot be used: {reason}.")


class TooManyImages(InputError):
    status, code = 413, "too_many_images"

    def __init__(self, count: int, *, limit: int) -> None:
        super().__init__(f"The request has {count} images; this route takes at most {limit}.")


class UnknownFile(RequestError):
    status, code = 404, "unknown_file"

    def __init__(self, name: str, *, known: Iterable[str]) -> None:
        super().__init__(f"There is no file {name[:100]!r} here; available files: {listed(known)}.")


class NoSuchRoute(RequestError):
    status, code = 404, "no_such_route"

    def __init__(self, routes: Iterable[str]) -> None:
        super().__init__(f"There is no such route; the routes are {', '.join(routes)}.")


class MethodNotAllowed(RequestError):
    status, code = 405, "method_not_allowed"

    def __init__(self, method: str, *, allowed: Sequence[str]) -> None:
        self.allowed = allowed
        super().__init__(f"{method[:20]} is not allowed here; use {' or '.join(allowed)}.")

    def headers(self) -> dict[str, str]:
        return {"Allow": ", ".join(self.allowed)}


class CrossOrigin(RequestError):
    status, code = 403, "cross_origin"

    def __init__(self, origin: str, *, asked: str = "") -> None:
        """asked: the method and the headers that a browser's preflight request asks for."""
        what = f"Sending {asked[:100]!r}" if asked else "A request"
        super().__init__(
            f"{what} from a page of {origin[:100]!r} is not allowed; STRIATE_CORS_ORIGINS lists the allowed origins."
        )


class BodyTooSlow(RequestError):
    status, code = 408, "body_too_slow"

    def __init__(self, *, bytes_per_s: float, seconds: float) -> None:
        super().__init__(
            f"The body fell {seconds:g} s behind a line of {bytes_per_s:g} bytes a second, the slowest that is allowed."
        )


class TooFarAhead(RetryLater):
    status, code = 429, "too_far_ahead"

    def __init__(self, *, requests: int, nbytes: int) -> None:
        super().__init__(
            f"More than {requests} requests, or {nbytes:,} bytes of them, were sent ahead; await their answers."
        )


class TooManyConnections(RetryLater):
    status, code = 503, "too_many_connections"

    def __init__(self, limit: int) -> None:
        super().__init__(f"All {limit} connections are in use. Retry in {self.retry_after_s} s.")


class CallerGone(StriateError):
    status, code = 499, "caller_gone"  # nginx's number for it; nobody is left to read it but the log

    def __init__(self) -> None:
        super().__init__("The caller closed the connection before the response was ready.")


class Internal(StriateError):
    status, code = 500, "internal"

    def __init__(self) -> None:
        super().__init__("An internal error occurred; the service's log has it under this request's X-Request-ID.")


def response(error: StriateError) -> Response:
    """Returns the error as HTTP."""
    body = orjson.dumps({"error": str(error), "code": error.code})
    headers = {ERROR_HEADER: error.code} | error.headers()
    return Response(body, error.status, headers, "application/json")


async def handle(_: Request, error: Exception) -> Response:
    """Starlette's exception handler for StriateError and MemoryError; a bug goes on, to be logged as one."""
    if known := answerable(error):
        forget_frames(error)
        return response(known)
    raise error


def forget_frames(error: BaseException | None) -> None:
    """Parts an error, and those which it came from, from the frames that they went through.

    Futures and tasks that some of them hold refer to the error: they would keep images until garbage is collected.
    """
    while error:
        for frame, _ in walk_tb(error.__traceback__):
            if not frame.f_code.co_flags & _SUSPENDABLE:  # such a frame may go on: requests may share an error
                with suppress(RuntimeError):  # it still runs
                    frame.clear()
        error.__traceback__ = None
        error = error.__context__


def answerable(error: BaseException) -> StriateError | None:
    """Returns what the caller may read; None where it is a bug. Any allocation may end in a MemoryError."""
    if isinstance(error, MemoryError):
        return MemoryFull()
    return error if isinstance(error, StriateError) and error.status != StriateError.status else None


def members(*families: type[StriateError]) -> Iterator[type[StriateError]]:
    """Yields each family's errors in the order of their definition; an error with a status of its own is one too."""
    for family in families:
        if "status" in vars(family) and family is not StriateError:
            yield family
        yield from members(*family.__subclasses__())
