"""Request bodies: images and options, read into bounded memory and never onto a disk."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError
from starlette.requests import Request

from service.api.answers import WireModel
from service.errors import InvalidOption, TooManyBytes
from service.http.errors import CallerGone, MalformedRequest, MissingField, UnknownField, UnsupportedBody, UrlNotFetched
from service.http.multipart import FormPart, form_parts, text
from service.scheduling.work import Reservation

Options = TypeVar("Options", bound=WireModel)
_SINGLE_FILE = ("image/", "application/octet-stream", "application/json", "application/x-npy")


@dataclass(frozen=True, slots=True)
class RequestBody:
    """images: each file's bytes. fields: every other field, as text."""

    images: tuple[bytes, ...]
    fields: dict[str, str]


def check_media_type(request: Request) -> bool:
    """Returns whether the body is a form; else it is one file. Raises UnsupportedBody."""
    kind = request.headers.get("content-type", "").lower()
    is_form = kind.startswith("multipart/form-data")
    if not is_form and not kind.startswith(_SINGLE_FILE):
        raise UnsupportedBody(kind)
    return is_form


def parse_body(request: Request, body: bytes, *, is_form: bool) -> RequestBody:
    """Parses multipart/form-data, or one file with its options in the query.

    Raises MalformedRequest, UrlNotFetched.
    """
    kind = request.headers.get("content-type", "")
    images, fields = _sorted(form_parts(body, kind)) if is_form else ([body], [])
    query = request.query_params.multi_items() if request.scope["query_string"] else []
    return RequestBody(tuple(images), _once([*query, *fields]))


def parse_options(kind: type[Options], fields: dict[str, str]) -> Options:
    """Parses the fields other than `image` and `model`; an empty one counts as absent, as web forms send it.

    Raises UnknownField, InvalidOption.
    """
    unknown = sorted(set(fields) - set(kind.model_fields) - {"model"})
    if unknown:
        raise UnknownField(unknown, allowed=("image", "model", *kind.model_fields))
    try:
        return kind.model_validate({name: value for name, value in fields.items() if name != "model" and value})
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidOption(str(first["loc"][0]), first["input"], first["msg"]) from error


def require(images: tuple[bytes, ...], name: str | None, *, able: tuple[str, ...]) -> str:
    """Returns the model's name: as sent, or the only one able. Raises MissingField, which names all that is missing."""
    missing = [] if images else ["'image' (a file)"]
    if name is None and len(able) != 1:
        missing.append(f"'model' (one of {', '.join(able) or 'none that serves'})")
    if missing:
        raise MissingField(missing)
    return name or able[0]


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Reads the body. A Content-Length that is too large is refused at once; the bytes that arrive are counted too.

    Raises TooManyBytes, MemoryFull, CallerGone.
    """
    length = request.headers.get("content-length", "")
    declared = int(length) if length.isdecimal() else 0
    if declared > max_bytes:
        raise TooManyBytes(max_bytes)
    reservation: Reservation = request.scope["reservation"]
    reservation.reserve_body(declared)
    parts: list[bytes] = []
    total, more = 0, True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise CallerGone
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
        total += len(parts[-1])
        if total > max_bytes:
            raise TooManyBytes(max_bytes)
        reservation.reserve_body(max(total, declared))
    return b"".join(parts)


def _sorted(parts: list[FormPart]) -> tuple[list[bytes], list[tuple[str, str]]]:
    """Separates a form's images from its other fields."""
    images = [_image_file(part.name, part.content) for part in parts if part.is_file]
    fields = [(part.name, _text(part.name, text(part.content))) for part in parts if not part.is_file]
    return images, fields


def _image_file(name: str, content: bytes) -> bytes:
    if name != "image":
        raise MalformedRequest(f"There is a file in the field {name[:100]!r}; it belongs in the field 'image'.")
    if content[:8].lower().startswith((b"http://", b"https://", b"file://", b"s3://")):
        raise UrlNotFetched
    return content


def _text(name: str, value: str) -> str:
    if name != "image":
        return value
    if "://" in value[:20]:
        raise UrlNotFetched
    raise MalformedRequest("The field 'image' holds text; send a file (curl: -F image=@scan.png).")


def _once(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in pairs:
        if name in fields:
            raise MalformedRequest(f"The field {name[:100]!r} is given twice.")
        fields[name] = value
    return fields
