"""Authentication middleware: the scope that each route requires, and the check of the request's API key."""

from starlette.types import ASGIApp, Receive, Scope, Send

from service.http.errors import response
from service.security.api_keys import KeyScope, KeyStore, sent_secret
from service.security.errors import KeyMissing, KeyUnknown, RateLimited, ScopeMissing

PUBLIC_PATHS = frozenset(
    {"/", "/livez", "/readyz", "/healthz", "/v2/health/live", "/v2/health/ready"}
)  # they reveal nothing secret
PUBLIC_PREFIX = "/web/"  # nor does the workbench page, which asks for the key


def required_scope(method: str, path: str) -> KeyScope | None:
    """Returns the scope that the key needs; None if no key is needed. Everything not named here needs `infer`."""
    if path in PUBLIC_PATHS or path.startswith(PUBLIC_PREFIX):
        return None
    if path == "/metrics":
        return "metrics"
    changes_models = path.startswith("/models") and method not in ("GET", "HEAD")
    return "operate" if changes_models or path.startswith("/v2/repository") else "infer"


class AuthenticationMiddleware:
    """ASGI middleware inside AccessLogMiddleware that admits requests with a valid key, up to the key's rate limit."""

    def __init__(self, app: ASGIApp, *, keys: KeyStore) -> None:
        self._app, self._keys = app, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = self._error(scope) if scope["type"] == "http" else None
        await (self._app if error is None else response(error))(scope, receive, send)

    def _error(self, scope: Scope) -> KeyMissing | KeyUnknown | ScopeMissing | RateLimited | None:
        required = required_scope(scope["method"], scope["path"])
        if required is None:
            return None
        if not (secret := sent_secret(scope["headers"])):
            return KeyMissing()
        if (key := self._keys.find(secret)) is None:
            return KeyUnknown()
        scope["context"].key = key.name
        if required not in key.scopes:
            return ScopeMissing(required, granted=sorted(key.scopes))
        wait_s = key.bucket.take() if key.bucket else 0
        return RateLimited(key.entry.rate_per_s, retry_after_s=wait_s) if wait_s else None
