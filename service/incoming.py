"""What a request holds: its images and its options, read into memory within bounds and never onto a disk."""

from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from service.errors import (
    InvalidOption,
    MalformedRequest,
    MissingField,
    TooManyBytes,
    UnknownField,
    UnsupportedBody,
    UrlNotFetched,
)
from service.schemas import Wire

Options = TypeVar("Options", bound=Wire)
_MAX_FIELD_BYTES = 10_000
_MAX_FIELDS = 32
_MAX_FILES = 1000


@dataclass(frozen=True, slots=True)
class Incoming:
    """images: each file's bytes. fields: every other field, as text."""

    images: tuple[bytes, ...]
    fields: dict[str, str]


class InMemory(MultiPartParser):
    """Starlette would write an upload of more than 1 MB to a temporary file: a patient's image on a disk."""

    spool_max_size = 2**62


async def incoming(request: Request, *, max_bytes: int) -> Incoming:
    """Reads multipart/form-data, or one image as the body with its options in the query.

    Raises MalformedRequest, UnsupportedBody, TooManyBytes, UrlNotFetched.
    """
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > max_bytes:
        raise TooManyBytes(max_bytes)
    body = _bounded(request, max_bytes)
    kind = request.headers.get("content-type", "").lower()
    if kind.startswith("multipart/form-data"):
        images, fields = await _multipart(request, body)
    elif kind.startswith("image/") or kind == "application/octet-stream":
        images, fields = [b"".join([part async for part in body])], []
    else:
        raise UnsupportedBody(kind)
    return Incoming(tuple(images), _once([*request.query_params.multi_items(), *fields]))


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


async def _bounded(request: Request, max_bytes: int) -> AsyncGenerator[bytes, None]:
    """The body's parts; Content-Length is the sender's word, so what really comes is counted."""
    total = 0
    try:
        async for part in request.stream():
            total += len(part)
            if total > max_bytes:
                raise TooManyBytes(max_bytes)
            yield part
    except ClientDisconnect as error:
        raise MalformedRequest("The connection was closed before the whole body had come.") from error


async def _multipart(request: Request, body: AsyncGenerator[bytes, None]) -> tuple[list[bytes], list[tuple[str, str]]]:
    parser = InMemory(
        request.headers, body, max_files=_MAX_FILES, max_fields=_MAX_FIELDS, max_part_size=_MAX_FIELD_BYTES
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise MalformedRequest(
            f"The multipart body cannot be read: {error.message.rstrip('.')}. A file's part has a filename, "
            "as curl -F image=@scan.png gives it."
        ) from error
    images: list[bytes] = []
    fields: list[tuple[str, str]] = []
    try:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                images.append(_image_file(name, await value.read()))
            else:
                fields.append((name, _text(name, value)))
    finally:
        await form.close()
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
