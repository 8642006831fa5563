"""Errors of images and packages: a sentence, an HTTP status and a code each. `service.errors` draws the whole tree."""

import reprlib
from typing import ClassVar

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 2, 100, 100


def quoted(value: object) -> str:
    """Returns the repr of a stranger's value for a sentence; what is cut off is never made."""
    return _SHORT.repr(value)[:200]


def fault_of_document(error: Exception) -> str:
    """Returns in words why a stranger's document could not be read as one of a known format."""
    if isinstance(error, KeyError):
        return f"{quoted(error.args[0])} is missing or unknown"
    return "a value in it has another form than expected"


class StriateError(Exception):
    """Something the caller can act on; the message quotes what was wrong and what is allowed.

    status: HTTP's; 500 where no caller can cause the error, so that it is a bug. code: for machines; never changes.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"

    def headers(self) -> dict[str, str]:
        """Returns the response's headers that explain the error."""
        return {}


class ImageError(StriateError):
    """The file or its pixels cannot be used. Every route that takes an image answers these."""


def _beginning(leading_bytes: bytes) -> str:
    return f"begins with the bytes {leading_bytes.hex(' ')}" if leading_bytes else "is empty"


class NotAnImage(ImageError):
    status, code = 415, "not_an_image"

    def __init__(self, leading_bytes: bytes, *, formats: str) -> None:
        """formats: those that are read, as in "PNG and TIFF"."""
        super().__init__(f"The file {_beginning(leading_bytes)}. Supported image formats: {formats}.")


class NotASignal(ImageError):
    status, code = 415, "not_a_signal"

    def __init__(self, leading_bytes: bytes, *, formats: str) -> None:
        """formats: those that are read, as in "NPY or JSON"."""
        super().__init__(f"The file {_beginning(leading_bytes)}. This model takes a signal, an array as {formats}.")


class BadSignal(ImageError):
    status, code = 422, "bad_signal"

    def __init__(self, reason: str) -> None:
        super().__init__(f"The signal cannot be used: {reason}.")


class DamagedImage(ImageError):
    status, code = 422, "damaged_image"

    def __init__(self, format: str, reason: str) -> None:
        self.reason = reason
        super().__init__(f"The {format.upper()} file is damaged or cut short: {reason}.")


class UnsupportedImage(ImageError):
    status, code = 422, "unsupported_image"


class TooManyPixels(ImageError):
    status, code = 413, "too_many_pixels"

    def __init__(self, *, width: int, height: int, limit: int) -> None:
        self.width, self.height, self.pixels, self.limit = width, height, width * height, limit
        super().__init__(
            f"The image is {width} x {height}, {width * height:,} pixels; this service takes at most {limit:,}."
        )


class TooCostly(ImageError):
    status, code = 413, "too_costly"

    def __init__(self, because: str, *, pixel_passes: int, limit: int) -> None:
        """because: what there is too much of, as in "The file holds ..."."""
        super().__init__(
            f"The file holds {because}: decoding it would take as long as {pixel_passes:,} pixels do; this service"
            f" takes at most {limit:,}."
        )


class ImageTooSmall(ImageError):
    status, code = 422, "image_too_small"

    def __init__(self, *, width: int, height: int, minimum: int) -> None:
        super().__init__(f"The image is {width} x {height} pixels; this model needs at least {minimum} x {minimum}.")


class NotFinite(ImageError):
    status, code = 422, "not_finite"

    def __init__(self, count: int) -> None:
        super().__init__(f"{count:,} pixel values are NaN or infinite; every value must be a finite number.")


class PackageError(StriateError):
    """A model package that cannot be trusted or understood; the message names the file or field."""

    code = "bad_package"
