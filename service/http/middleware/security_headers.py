"""Security headers of every response; none of them names the server."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),  # keeps patient images out of caches
)


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


_NAMES = frozenset(name for name, _ in SECURITY_HEADERS)


def _missing(headers: list[tuple[bytes, bytes]]) -> tuple[tuple[bytes, bytes], ...]:
    present = _NAMES.intersection([name for name, _ in headers])
    return tuple(header for header in SECURITY_HEADERS if header[0] not in present) if present else SECURITY_HEADERS
