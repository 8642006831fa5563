"""Errors of API keys, rate limits and the audit log."""

from collections.abc import Iterable

from service.errors import RequestError, RetryLater, listed


class AccessDenied(RequestError):
    """The request has no key that allows it. challenge: what to send, as RFC 6750 words it."""

    challenge = 'Bearer realm="striate"'

    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": self.challenge}


class KeyMissing(AccessDenied):
    status, code = 401, "key_missing"

    def __init__(self) -> None:
        super().__init__("An API key is required: send 'Authorization: Bearer <key>' or 'X-API-Key: <key>'.")


class KeyUnknown(AccessDenied):
    status, code = 401, "key_unknown"
    challenge = 'Bearer realm="striate", error="invalid_token"'

    def __init__(self) -> None:
        super().__init__("The API key is unknown to this service; it may have been revoked.")


class ScopeMissing(AccessDenied):
    status, code = 403, "scope_missing"

    def __init__(self, scope: str, *, granted: Iterable[str]) -> None:
        self.challenge = f'Bearer realm="striate", error="insufficient_scope", scope="{scope}"'
        super().__init__(f"The request needs a key with the scope '{scope}'; this key has {listed(granted)}.")


class RateLimited(RetryLater):
    status, code = 429, "rate_limited"

    def __init__(self, per_s: float, *, retry_after_s: int) -> None:
        super().__init__(f"This key is limited to {per_s:g} requests per second. Retry in {retry_after_s} s.")
        self.retry_after_s = retry_after_s


class AuditUnavailable(RetryLater):
    status, code = 503, "audit_unavailable"
    retry_after_s = 5

    def __init__(self) -> None:
        super().__init__(
            f"The response is withheld because the audit log cannot be written. Retry in {self.retry_after_s} s."
        )
