"""Pages of other origins: a browser sends their requests with all the rights of the machine that it runs on."""

from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import CrossOrigin
from service.http.errors import response

_SAID = frozenset({"vary", "access-control-allow-origin"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})  # they change nothing, and without CORS the page cannot read the answer


def cors(origins: tuple[str, ...]) -> Middleware:
    """Lets pages of these origins ask and read; the key goes in a header, so no cookie and no credentials mode."""
    return Middleware(
        Cors,
        allow_origins=origins,
        allow_methods=["GET", "POST"],
        allow_headers=["Authorization", "X-API-Key", "X-Request-ID", "Content-Type"],
        expose_headers=["X-Request-ID", "X-Striate-Error", "Retry-After"],
    )


class Cors(CORSMiddleware):
    """Starlette's, with its refusals in our shape."""

    def preflight_response(self, request_headers: Headers) -> Response:
        answer = super().preflight_response(request_headers)
        if answer.status_code < 400:
            return answer
        asked = [request_headers.get(f"access-control-request-{what}", "") for what in ("method", "headers")]
        refused = response(CrossOrigin(request_headers["origin"], asked=" ".join(filter(None, asked))))
        refused.headers.update({name: answer.headers[name] for name in _SAID.intersection(answer.headers)})
        return refused


class SameOriginMiddleware:
    """ASGI middleware: refuses a POST that a browser sends for a page of another origin, which needs no preflight.

    Without it any page could unload a model or use the GPU of a service on its reader's own machine. A browser says
    whose page it is (Sec-Fetch-Site, or Origin against Host where it is old); other clients say neither, and pass.
    """

    def __init__(self, app: ASGIApp, *, allowed: Iterable[str]) -> None:
        self._app = app
        self._allowed = frozenset(origin.encode() for origin in allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in _SAFE and (origin := self._foreign(scope)) is not None:
            await response(CrossOrigin(origin.decode("latin-1")))(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _foreign(self, scope: Scope) -> bytes | None:
        """The origin of the page that asks, where it may not; "null" where the browser does not name it."""
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
