"""Decoder protocol: a file format is recognised, measured, and opened as a Source."""

from typing import Any, NamedTuple, Protocol

from models.errors import DamagedImage, ImageError, TooCostly
from models.source import Source

PASSES = 16  # a file may take as long as its image does in so many passes; a progressive JPEG has 10
_ALWAYS = 2**23  # pixel passes that any file may take: some 20 ms


class Format(NamedTuple):
    """Names of a file format: for people, for HTTP, and in file names."""

    name: str  # "PNG"
    media_types: tuple[str, ...]  # "image/png"
    extensions: tuple[str, ...]  # ".png"


def listed(formats: tuple[Format, ...], *, last: str = "and") -> str:
    """Returns the formats' names as a sentence has them: "PNG, JPEG and TIFF"."""
    *names, end = (format.name for format in formats)
    return f"{', '.join(names)} {last} {end}" if names else end


class Cost(NamedTuple):
    """What decoding a file takes, from its header. pixel_passes: pixels, as often as the decoder goes through them.

    because: what there is much of, as in "The file holds ...": "12,000 scans of 2048 x 2048 pixels".
    """

    pixel_passes: int
    because: str


def check_cost(cost: Cost, *, pixels: int) -> None:
    """Refuses a file that takes far longer than others of as many pixels. Raises TooCostly."""
    limit = PASSES * pixels + _ALWAYS
    if cost.pixel_passes > limit:
        raise TooCostly(cost.because, pixel_passes=cost.pixel_passes, limit=limit)


def most_deflated(nbytes: int) -> int:
    """Returns what Deflate makes at most of so many bytes: its fixed codes have 9 bits. More is tables, or nothing."""
    return nbytes + nbytes // 8


class Refusing:
    """Turns what a stranger's bytes bring about in a library into DamagedImage, but for a lack of memory."""

    __slots__ = ("_format",)

    def __init__(self, format: str) -> None:
        self._format = format

    def __enter__(self) -> None: ...

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, ImageError | MemoryError):
            raise refusal(self._format, error) from error


def refusal(format: str, error: Exception) -> DamagedImage:
    """Returns what a library's error means for the caller. Its own words may quote the file."""
    return DamagedImage(format, f"it cannot be decoded ({type(error).__name__})")


class Probe(NamedTuple):
    """Facts from a file's header, without decoding a pixel. width, height: of the upright image.

    channels: 1 (grey) or 3 (colour). pages: how many pages of the file make up the image. block: pixels of the largest
    piece that is decoded at once, where that is more than the image. header: the decoder's own, from which it opens the
    file without reading the header again. cost: None where decoding goes through the image once.
    """

    format: Format
    width: int
    height: int
    channels: int
    dtype: str
    pages: int = 1
    block: tuple[int, int] | None = None  # width, height
    header: Any = None
    cost: Cost | None = None

    @property
    def axes(self) -> str:
        return "YX" if self.channels == 1 else "YXS"

    @property
    def pixels(self) -> int:
        return self.width * self.height


class Decoder(Protocol):
    """A module that knows one file format."""

    FORMAT: Format

    def sniff(self, data: bytes) -> bool:
        """Returns whether the leading bytes are those of the format."""
        ...

    def probe(self, data: bytes) -> Probe:
        """Reads the header alone. Raises DamagedImage, UnsupportedImage, TooCostly."""
        ...

    def open(self, data: bytes, probed: Probe) -> Source:
        """Opens the file that was probed; a damaged one, if it can be decoded yet, with its `damage`.

        Raises DamagedImage, UnsupportedImage.
        """
        ...


def turned(width: int, height: int, orientation: int) -> tuple[int, int]:
    """Returns the upright width and height for stored ones and their EXIF orientation."""
    return (height, width) if 5 <= orientation <= 8 else (width, height)
