"""What can go wrong with a request: a sentence and a code each. What HTTP makes of them: service.http.errors."""

from collections.abc import Iterable, Sequence

from models.errors import StriateError


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


class ImageTooLarge(RequestError):
    code = "image_too_large"

    def __init__(self, pixels: int, *, need: int, limit: int) -> None:
        super().__init__(
            f"An image of {pixels:,} pixels may need {need:,} bytes of memory in this model, and all large images"
            f" together have {limit:,} (STRIATE_IMAGE_BYTES)."
        )


class UnsupportedBody(RequestError):
    code = "unsupported_body"

    def __init__(self, content_type: str) -> None:
        super().__init__(
            f"The Content-Type is {content_type[:100]!r}; send multipart/form-data, or by itself an image/* body,"
            " or for a model of signals application/json or application/x-npy."
        )


class UnsupportedEncoding(RequestError):
    code = "unsupported_encoding"

    def __init__(self, encoding: str, *, allowed: Iterable[str]) -> None:
        super().__init__(f"The Content-Encoding is {encoding[:100]!r}; send the body plain, or as {listed(allowed)}.")


class UnknownTensor(RequestError):
    code = "unknown_tensor"

    def __init__(self, name: str, *, kind: str, model: str, allowed: Iterable[str]) -> None:
        super().__init__(f"The model {model!r} has no {kind} {name[:100]!r}; it has {listed(allowed)}.")


class BadTensor(RequestError):
    code = "bad_tensor"

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"The tensor {name!r} cannot be taken: {reason}.")


class UnknownModel(RequestError):
    code = "unknown_model"

    def __init__(self, name: str, *, served: Iterable[str]) -> None:
        super().__init__(f"There is no model {name[:100]!r}; served are {listed(served)}.")


class UnknownVersion(RequestError):
    code = "unknown_version"

    def __init__(self, version: str, *, model: str, served: Iterable[str]) -> None:
        super().__init__(f"The model {model!r} has no version {version[:100]!r} that serves; {listed(served)} does.")


class WrongTask(RequestError):
    code = "wrong_task"

    def __init__(self, name: str, *, task: str, asked: str, able: Iterable[str]) -> None:
        super().__init__(f"The model {name!r} does {task}, not {asked}; for {asked} take one of: {listed(able)}.")


class NoMap(RequestError):
    code = "no_map"

    def __init__(self, name: str) -> None:
        super().__init__(f"The model {name!r} was exported without class activation maps; method=occlusion needs none.")


class UnknownMethod(RequestError):
    code = "unknown_method"

    def __init__(self, method: str, *, model: str, methods: Iterable[str]) -> None:
        super().__init__(f"The model {model!r} has no map by method={method}; it has {listed(methods)}.")


class UnknownFile(RequestError):
    code = "unknown_file"

    def __init__(self, name: str, *, known: Iterable[str]) -> None:
        super().__init__(f"There is no file {name[:100]!r} here; there are {listed(known)}.")


class UnknownLayer(RequestError):
    code = "unknown_layer"

    def __init__(self, layer: str, *, model: str, layers: Iterable[str]) -> None:
        super().__init__(
            f"The model {model!r} shows no layer {layer[:100]!r}; it shows {listed(layers)}, as it was exported."
        )


class NoPicture(RequestError):
    code = "no_picture"

    def __init__(self, name: str, *, format: str) -> None:
        super().__init__(f"format = {format!r} is a picture, and {name!r} sees signals; ask for format=raw.")


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


class TooLargeForOnePass(RequestError):
    code = "too_large_for_one_pass"

    def __init__(self, *, width: int, height: int, model: str, limit: int) -> None:
        super().__init__(
            f"The image, padded to {width} x {height}, is too large: {model!r} looks at whole images (its normalisation"
            f" does), so it cannot run in tiles, and one pass takes at most {limit} x {limit} pixels here."
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


class KeyMissing(RequestError):
    code = "key_missing"

    def __init__(self) -> None:
        super().__init__("This needs an API key; send it as 'Authorization: Bearer <key>' or 'X-API-Key: <key>'.")


class KeyUnknown(RequestError):
    code = "key_unknown"

    def __init__(self) -> None:
        super().__init__("The API key is not one of this service's; it may have been withdrawn.")


class ScopeMissing(RequestError):
    code = "scope_missing"

    def __init__(self, scope: str, *, granted: Iterable[str]) -> None:
        self.scope = scope
        super().__init__(f"This needs a key with the scope '{scope}'; this key has {listed(granted)}.")


class CrossOrigin(RequestError):
    code = "cross_origin"

    def __init__(self, origin: str, *, asked: str = "") -> None:
        """asked: the method and the headers of which a browser asks beforehand."""
        what = f"send {asked[:100]!r} to" if asked else "ask"
        super().__init__(f"A page of {origin[:100]!r} may not {what} this service; STRIATE_CORS_ORIGINS lists who may.")


class InvalidRollouts(RequestError):
    """The operator's file cannot be read or understood; nothing is guessed in its place."""

    code = "bad_plans"


class RolloutsNotWritable(RequestError):
    code = "plans_not_writable"

    def __init__(self, reason: str) -> None:
        super().__init__(f"It cannot be kept, since the folder of models cannot be written: {reason}.")


class CannotServe(RequestError):
    code = "cannot_serve"

    def __init__(self, name: str, version: str, reason: str) -> None:
        super().__init__(f"Nothing has been changed, since {name} {version} cannot serve: {reason.rstrip('.')}.")


class Busy(StriateError):
    """The request is right, and can be sent again."""

    retry_after_s: int = 1


class QueueFull(Busy):
    code = "queue_full"

    def __init__(self, length: int, *, retry_after_s: int = 1) -> None:
        waiting = "One image is" if length == 1 else f"{length} images are"
        super().__init__(f"{waiting} waiting already, which is all that may; send it again later.")
        self.retry_after_s = min(max(retry_after_s, 1), 30)


class RateLimited(Busy):
    code = "rate_limited"

    def __init__(self, per_s: float, *, retry_after_s: int) -> None:
        super().__init__(f"This key may ask {per_s:g} times a second; send it again in {retry_after_s} s.")
        self.retry_after_s = retry_after_s


class AuditUnavailable(Busy):
    code = "audit_unavailable"
    retry_after_s = 5

    def __init__(self) -> None:
        super().__init__("The answer is withheld, since its line in the audit log cannot be written.")


class NotReady(Busy):
    code = "not_ready"
    retry_after_s = 5


class MemoryFull(Busy):
    code = "memory_full"
    retry_after_s = 2

    def __init__(self) -> None:
        super().__init__(
            "There is no memory left for this image beside those that are sent or worked on; send it again later."
        )


class DeadlinePassed(StriateError):
    code = "deadline_passed"

    def __init__(self, timeout_s: float) -> None:
        super().__init__(f"The answer was not ready within {timeout_s:g} s.")


class CallerGone(StriateError):
    code = "caller_gone"

    def __init__(self) -> None:
        super().__init__("The connection was closed before the answer was ready.")


class Internal(StriateError):
    code = "internal"

    def __init__(self) -> None:
        super().__init__("Something failed inside the service; the log has it under this request's X-Request-ID.")
