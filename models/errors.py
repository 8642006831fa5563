"""What can be wrong with an image, an option or a package: sentences for people, codes for machines.

`code` never changes once published. `service.errors` gives each class its HTTP status.
"""

from typing import ClassVar


class StriateError(Exception):
    """Something the caller can act on; the message quotes what was wrong and what is allowed."""

    code: ClassVar[str] = "internal"


class ImageError(StriateError):
    """These bytes, or these pixels, cannot be used."""


def _beginning(leading_bytes: bytes) -> str:
    return f"begins with the bytes {leading_bytes.hex(' ')}" if leading_bytes else "is empty"


class NotAnImage(ImageError):
    code = "not_an_image"

    def __init__(self, leading_bytes: bytes, *, formats: str) -> None:
        """formats: those that are read, as in "PNG and TIFF"."""
        super().__init__(f"The file {_beginning(leading_bytes)}. Supported image formats: {formats}.")


class NotASignal(ImageError):
    code = "not_a_signal"

    def __init__(self, leading_bytes: bytes, *, formats: str) -> None:
        """formats: those that are read, as in "NPY or JSON"."""
        super().__init__(f"The file {_beginning(leading_bytes)}. This model takes a signal, an array as {formats}.")


class BadSignal(ImageError):
    code = "bad_signal"

    def __init__(self, reason: str) -> None:
        super().__init__(f"The signal cannot be taken: {reason}.")


class DamagedImage(ImageError):
    code = "damaged_image"

    def __init__(self, format: str, reason: str) -> None:
        super().__init__(f"The {format.upper()} file is damaged or cut short: {reason}.")


class UnsupportedImage(ImageError):
    code = "unsupported_image"


class TooManyPixels(ImageError):
    code = "too_many_pixels"

    def __init__(self, *, width: int, height: int, limit: int) -> None:
        self.width, self.height, self.pixels, self.limit = width, height, width * height, limit
        super().__init__(
            f"The image is {width} x {height}, {width * height:,} pixels; this service takes at most {limit:,}."
        )


class ImageTooSmall(ImageError):
    code = "image_too_small"

    def __init__(self, *, width: int, height: int, minimum: int) -> None:
        super().__init__(f"The image is {width} x {height} pixels; this model needs at least {minimum} x {minimum}.")


class NotFinite(ImageError):
    code = "not_finite"

    def __init__(self, count: int) -> None:
        super().__init__(f"{count:,} pixel values are NaN or infinite; every value must be a finite number.")


class PackageError(StriateError):
    """A model package that cannot be trusted or understood; the message names the file or field."""

    code = "bad_package"
