"""What a request holds: its images and its options, read into memory within bounds and never onto a disk."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError
from starlette.requests import Request

from service.api.answers import WireModel
from service.errors import (
    CallerGone,
    InvalidOption,
    MalformedRequest,
    MissingField,
    TooManyBytes,
    UnknownField,
    UnsupportedBody,
    UrlNotFetched,
)
from service.http.multipart import Part, form_parts, text
from service.pipeline.memory_budget import Reservation

Options = TypeVar("Options", bound=WireModel)
_BY_ITSELF = ("image/", "application/octet-stream", "application/json", "application/x-npy")


@dataclass(frozen=True, slots=True)
class RequestBody:
    """images: each file's bytes. fields: every other field, as text."""

    images: tuple[bytes, ...]
    fields: dict[str, str]


async def incoming(request: Request, *, max_bytes: int, share: Reservation) -> RequestBody:
    """Reads multipart/form-data, or one file as the body with its options in the query. share: the body's.

    Raises MalformedRequest, UnsupportedBody, TooManyBytes, MemoryFull, UrlNotFetched, CallerGone.
    """
    kind = request.headers.get("content-type", "")
    is_form = kind.lower().startswith("multipart/form-data")
    if not is_form and not kind.lower().startswith(_BY_ITSELF):
        raise UnsupportedBody(kind.lower())
    body = await bounded(request, max_bytes, share)
    images, fields = _sorted(form_parts(body, kind)) if is_form else ([body], [])
    query = request.query_params.multi_items() if request.scope["query_string"] else []
    return RequestBody(tuple(images), _once([*query, *fields]))


def options_of(kind: type[Options], fields: dict[str, str]) -> Options:
    """The fields beside `image` and `model` -> options; an empty one counts as not given, as web forms send it.

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
    """The model's name: as given, or the only one able. Raises MissingField, which names all that is missing."""
    missing = [] if images else ["'image' (a file)"]
    if name is None and len(able) != 1:
        missing.append(f"'model' (one of {', '.join(able) or 'none that serves'})")
    if missing:
        raise MissingField(missing)
    return name or able[0]


async def bounded(request: Request, max_bytes: int, share: Reservation) -> bytes:
    """The body. Content-Length is the sender's word: it is refused by that, and what really comes is counted too.

    Raises TooManyBytes, MemoryFull, CallerGone.
    """
    length = request.headers.get("content-length", "")
    declared = int(length) if length.isdecimal() else 0
    if declared > max_bytes:
        raise TooManyBytes(max_bytes)
    share.hold(declared)
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
        share.hold(max(total, declared))
    return b"".join(parts)


def _sorted(parts: list[Part]) -> tuple[list[bytes], list[tuple[str, str]]]:
    """A form's parts -> its images, and its other fields by name."""
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
