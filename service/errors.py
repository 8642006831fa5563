"""Errors that a caller can act on: a sentence, an HTTP status and a code each.

StriateError                models/errors.py; without a status of its own it is a bug
+-- ImageError              models/errors.py; every route that takes an image
|   +-- NotAnImage, NotASignal, BadSignal, DamagedImage, UnsupportedImage, ImageTooSmall, NotFinite
|   +-- TooManyPixels, TooCostly
+-- PackageError            models/errors.py; why a package is not served
+-- RequestError
|   +-- TooLarge            every route that takes an image
|   |   +-- ImageTooLarge, TooManyBytes, AnswerTooLarge
|   +-- InputError          every route that takes an image
|   |   +-- ValuesTooLarge, InvalidOption; UnknownModel (repository), TooManyImages (http)
|   +-- CamError            /cam
|   |   +-- NoMap, NoPicture, UnknownLabel, UnknownMethod
|   +-- UnknownLayer, TooLargeForOnePass, TooManyObjects
|   +-- UnknownVersion, WrongTask                   repository/errors.py
|   +-- RolloutError                                repository/errors.py; every route that changes what serves
|   |   +-- CannotServe, RolloutsNotWritable, InvalidRollouts
|   +-- AccessDenied                                security/errors.py; every route that needs a key
|   |   +-- KeyMissing, KeyUnknown, ScopeMissing
|   +-- FormError                                   http/errors.py; every route that takes a form
|   |   +-- MissingField, UnknownField, UrlNotFetched, UnsupportedBody
|   +-- TensorError                                 http/errors.py; /v2/models/{name}/infer
|   |   +-- UnsupportedEncoding, UnknownTensor, BadTensor
|   +-- MalformedRequest, BodyTooSlow, UnknownFile, NoSuchRoute, MethodNotAllowed, CrossOrigin    http/errors.py
+-- RetryLater              every route that takes an image
|   +-- MemoryFull, NotReady, SandboxFailed, QueueFull; RateLimited, AuditUnavailable (security)
|   +-- TooFarAhead, TooManyConnections    http/errors.py
+-- DeadlinePassed
+-- CallerGone, Internal    http/errors.py

/docs.json lists a family's errors for its routes, so a new error needs its class alone.
"""

from collections.abc import Iterable, Sequence

from models.errors import StriateError

_MOST_NAMES, _MOST_CHARACTERS = 10, 100


def listed(names: Iterable[str]) -> str:
    """("a", "b") -> "'a', 'b'"; nothing at all -> "none"."""
    return ", ".join(f"'{name}'" for name in names) or "none"


def listed_in_part(names: Sequence[str]) -> str:
    """Lists names that a caller made up: the first 10, of each 100 characters, and how many more there are."""
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return listed(name[:_MOST_CHARACTERS] for name in names[:_MOST_NAMES]) + more


class RequestError(StriateError):
    """The request cannot be parsed, or cannot be met as it was sent."""


class TooLarge(RequestError):
    """The body or the image needs more memory than the service ever gives one request."""


class ImageTooLarge(TooLarge):
    status, code = 413, "image_too_large"

    def __init__(self, pixels: int, *, need: int, limit: int) -> None:
        super().__init__(
            f"An image of {pixels:,} pixels may need {need:,} bytes of memory in this model; all images together"
            f" may use {limit:,} (STRIATE_IMAGE_BYTES)."
        )


class TooManyBytes(TooLarge):
    status, code = 413, "too_many_bytes"

    def __init__(self, limit: int, *, unpacked: bool = False) -> None:
        """unpacked: whether it is what the body becomes, decompressed and parsed, that is too large."""
        what = "What becomes of the request's body takes more" if unpacked else "The request's body is larger"
        super().__init__(f"{what} than {limit:,} bytes, the most that this service accepts.")


class AnswerTooLarge(TooLarge):
    status, code = 413, "answer_too_large"

    def __init__(self, nbytes: int, *, limit: int) -> None:
        super().__init__(
            f"The request and its answer have {nbytes:,} bytes; all large requests together may use {limit:,}"
            " (STRIATE_IMAGE_BYTES)."
        )


class InputError(RequestError):
    """The image, its options or its model do not go together."""


class ValuesTooLarge(InputError):
    status, code = 422, "values_too_large"

    def __init__(self, *, low: float, high: float) -> None:
        super().__init__(f"The image's values, from {low:.4g} to {high:.4g}, overflow in this model.")


class InvalidOption(InputError):
    status, code = 422, "invalid_option"

    def __init__(self, field: str, value: object, reason: str) -> None:
        super().__init__(f"{field[:100]} = {str(value)[:100]!r} is not allowed: {reason.rstrip('.')}.")


class CamError(RequestError):
    """The class activation map is not one that the model can give."""


class NoMap(CamError):
    status, code = 422, "no_map"

    def __init__(self, name: str) -> None:
        super().__init__(f"The model {name!r} was exported without class activation maps; use method=occlusion.")


class NoPicture(CamError):
    status, code = 422, "no_picture"

    def __init__(self, name: str, *, format: str) -> None:
        super().__init__(f"format = {format!r} draws over an image, and {name!r} takes signals; use format=raw.")


class UnknownLabel(CamError):
    status, code = 422, "unknown_label"

    def __init__(self, label: str, *, model: str, labels: Iterable[str]) -> None:
        super().__init__(f"The model {model!r} has no label {label[:100]!r}; its labels are {listed(labels)}.")


class UnknownMethod(CamError):
    status, code = 422, "unknown_method"

    def __init__(self, method: str, *, model: str, methods: Iterable[str]) -> None:
        super().__init__(f"The model {model!r} does not support method={method}; it supports {listed(methods)}.")


class UnknownLayer(RequestError):
    status, code = 422, "unknown_layer"

    def __init__(self, layer: str, *, model: str, layers: Iterable[str]) -> None:
        super().__init__(
            f"The model {model!r} was exported without the layer {layer[:100]!r}; available layers: {listed(layers)}."
        )


class TooLargeForOnePass(RequestError):
    status, code = 413, "too_large_for_one_pass"

    def __init__(self, *, width: int, height: int, model: str, limit: int) -> None:
        super().__init__(
            f"The image, padded to {width} x {height}, is too large: {model!r} normalises over the whole image, so it"
            f" cannot run in tiles, and one pass takes at most {limit} x {limit} pixels."
        )


class TooManyObjects(RequestError):
    status, code = 422, "too_many_objects"

    def __init__(self, count: int, bound: str) -> None:
        """bound: a clause that says how many there may be."""
        super().__init__(f"There are {count:,} objects; {bound}.")


class RetryLater(StriateError):
    """The request is right, and may succeed when it is sent again."""

    retry_after_s: int = 1

    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry_after_s)}


class MemoryFull(RetryLater):
    status, code = 503, "memory_full"
    retry_after_s = 2

    def __init__(self) -> None:
        super().__init__(f"The image memory budget is exhausted. Retry in {self.retry_after_s} s.")


class NotReady(RetryLater):
    status, code = 503, "not_ready"
    retry_after_s = 5


class SandboxFailed(RetryLater):
    """Files that may be hostile are read in child processes, and none could be started."""

    status, code = 503, "sandbox_failed"
    retry_after_s = 5

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"No process could be started to read the file ({reason:.100}). Retry in {self.retry_after_s} s."
        )


class QueueFull(RetryLater):
    status, code = 429, "queue_full"

    def __init__(self, length: int, *, retry_after_s: int = 1) -> None:
        self.retry_after_s = min(max(retry_after_s, 1), 30)
        images = "1 image" if length == 1 else f"{length} images"
        super().__init__(f"The queue is full ({images}). Retry in {self.retry_after_s} s.")


class DeadlinePassed(StriateError):
    status, code = 504, "deadline_passed"

    def __init__(self, timeout_s: float) -> None:
        super().__init__(f"The response was not ready within {timeout_s:g} s.")
