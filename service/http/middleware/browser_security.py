"""Browser security: headers of every response, CORS for listed origins, and protection against forged requests."""

from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.errors import ERROR_HEADER, CrossOrigin, response
from service.http.responses import PREFIX

SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),  # keeps patient images out of caches
)
# What a page of another origin can read of an answer, besides Content-Type, Content-Length and Cache-Control.
EXPOSED_HEADERS = (
    "X-Request-ID", ERROR_HEADER, "Retry-After", "WWW-Authenticate", "Allow", "Inference-Header-Content-Length",
    *(PREFIX + fact for fact in (
        "Model", "Model-Version", "Model-Sha256", "Input", "Warnings", "Timings-Ms", "Label", "Probability", "Method",
        "Layer", "Of", "Ranges", "Columns", "Channels", "Shape", "Values", "Count",
    )),
)  # fmt: skip
SENT_HEADERS = (
    "Authorization", "X-API-Key", "X-Request-ID", "Content-Type", "Content-Encoding", "Inference-Header-Content-Length",
    "traceparent", "tracestate",
)  # fmt: skip
_NAMES = frozenset(name for name, _ in SECURITY_HEADERS)
_CORS_HEADERS = frozenset({"vary", "access-control-allow-origin"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})  # they change nothing, and without CORS the page cannot read the response


class SecurityHeadersMiddleware:
    """The outermost ASGI middleware. A header that the response sets itself, such as a page's policy, is kept."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"]
                message["headers"] = [*headers, *_missing(headers)]
            await send(message)

        await self._app(scope, receive, send_secured if scope["type"] == "http" else send)


def _missing(headers: list[tuple[bytes, bytes]]) -> tuple[tuple[bytes, bytes], ...]:
    present = _NAMES.intersection([name for name, _ in headers])
    return tuple(header for header in SECURITY_HEADERS if header[0] not in present) if present else SECURITY_HEADERS


def cors(origins: tuple[str, ...]) -> Middleware:
    """Returns CORS middleware for these origins; keys travel in a header, so no credentials mode is needed."""
    return Middleware(
        StriateCORSMiddleware,
        allow_origins=origins,
        allow_methods=["GET", "POST"],
        allow_headers=SENT_HEADERS,
        expose_headers=EXPOSED_HEADERS,
        allow_private_network=True,  # a page on the internet may call a service on its user's machine, if it is listed
    )


class StriateCORSMiddleware(CORSMiddleware):
    """Starlette's CORS middleware, with errors in this service's format."""

    def preflight_response(self, request_headers: Headers) -> Response:
        answer = super().preflight_response(request_headers)
        if answer.status_code < 400:
            return answer
        requested = [request_headers.get(f"access-control-request-{name}", "") for name in ("method", "headers")]
        error = response(CrossOrigin(request_headers["origin"], asked=" ".join(filter(None, requested))))
        error.headers.update({name: answer.headers[name] for name in _CORS_HEADERS.intersection(answer.headers)})
        return error


class SameOriginMiddleware:
    """ASGI middleware that rejects a POST from a page of another origin, for which a browser sends no preflight.

    Without it any web page could unload a model or use the GPU of a service on its visitor's machine. A browser names
    the page's site (Sec-Fetch-Site; an old one Origin, compared with Host). Other clients send neither, and pass.
    """

    def __init__(self, app: ASGIApp, *, allowed: Iterable[str]) -> None:
        self._app = app
        self._allowed = frozenset(origin.encode() for origin in allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] == "http"
            and scope["method"] not in _SAFE
            and (origin := self._foreign_origin(scope)) is not None
        ):
            await response(CrossOrigin(origin.decode("latin-1")))(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _foreign_origin(self, scope: Scope) -> bytes | None:
        """Returns the origin of a page that is not allowed; "null" if the browser does not name it."""
        site = origin = host = None
        for name, value in scope["headers"]:
            if name == b"sec-fetch-site":
                site = value
            elif name == b"origin":
                origin = value
            elif name == b"host":
                host = value
        if (site is None and origin is None) or origin in self._allowed or site in (b"same-origin", b"none"):
            return None
        if site is None and origin is not None and host and origin.partition(b"://")[2] == host:
            return None
        return origin or b"null"
