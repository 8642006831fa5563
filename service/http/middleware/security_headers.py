"""Headers that every answer has, for the browser that may show it; nothing names the server."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECURITY: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),  # no patient's picture in a cache
)


class SecurityHeadersMiddleware:
    """ASGI middleware, the outermost. An answer that says one of these itself, such as a page its policy, keeps it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = message["headers"]
                message["headers"] = [*own, *_missing(own)]
            await send(message)

        await self._app(scope, receive, secured if scope["type"] == "http" else send)


_NAMES = frozenset(name for name, _ in SECURITY)


def _missing(own: list[tuple[bytes, bytes]]) -> tuple[tuple[bytes, bytes], ...]:
    said = _NAMES.intersection([name for name, _ in own])
    return tuple(header for header in SECURITY if header[0] not in said) if said else SECURITY
