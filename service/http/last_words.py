"""Errors of requests that cannot be parsed, as the last bytes of their connections."""

from http import HTTPStatus

import orjson

from models.errors import StriateError
from service.http.middleware.browser_security import SECURITY_HEADERS


def last_words(error: StriateError) -> bytes:
    """Returns the error as a response that ends its connection."""
    body = orjson.dumps({"error": str(error), "code": error.code})
    headers = [
        *SECURITY_HEADERS, (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"), (b"x-striate-error", error.code.encode()),
        *((name.lower().encode(), value.encode()) for name, value in error.headers().items()),
    ]  # fmt: skip
    head = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
    status = HTTPStatus(error.status)
    return b"HTTP/1.1 %d %s\r\n%s\r\n%s" % (status, status.phrase.encode(), head, body)
