"""Which key a request needs, and whether it has it."""

from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import KeyMissing, KeyUnknown, RateLimited, ScopeMissing
from service.http.errors import response
from service.security.api_keys import Grant, KeyStore, presented

OPEN = frozenset(
    {"/", "/livez", "/readyz", "/healthz", "/v2/health/live", "/v2/health/ready"}
)  # nothing secret in them
PAGE_FILES = "/web/"  # nor in the page, which asks for the key


def needed(method: str, path: str) -> Grant | None:
    """The scope that a key needs for this; None where no key is needed. What is not named here needs `infer`."""
    if path in OPEN or path.startswith(PAGE_FILES):
        return None
    if path == "/metrics":
        return "metrics"
    changes_models = path.startswith("/models") and method not in ("GET", "HEAD")
    return "operate" if changes_models or path.startswith("/v2/repository") else "infer"


class AuthenticationMiddleware:
    """ASGI middleware, within Observed: lets a request pass that has a key for it, as often as that key may ask."""

    def __init__(self, app: ASGIApp, *, keys: KeyStore) -> None:
        self._app, self._keys = app, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = self._refusal(scope) if scope["type"] == "http" else None
        await (self._app if refused is None else response(refused))(scope, receive, send)

    def _refusal(self, scope: Scope) -> KeyMissing | KeyUnknown | ScopeMissing | RateLimited | None:
        grant = needed(scope["method"], scope["path"])
        if grant is None:
            return None
        if not (sent := presented(scope["headers"])):
            return KeyMissing()
        if (key := self._keys.find(sent)) is None:
            return KeyUnknown()
        scope["exchange"].key = key.name
        if grant not in key.scopes:
            return ScopeMissing(grant, granted=sorted(key.scopes))
        wait_s = key.bucket.take() if key.bucket else 0
        return RateLimited(key.entry.rate_per_s, retry_after_s=wait_s) if wait_s else None
