"""Multipart form parser (RFC 7578, RFC 2046 section 5.1) for a body that is in memory.

A streaming parser, such as python-multipart's, calls back for every piece, which takes more than twice as long.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from python_multipart.multipart import parse_options_header

from service.http.errors import MalformedRequest

# The options of a header take longer, the more there are of them: 3 ms where they fill a head.
_MAX_HEAD_BYTES, _MAX_HEADS_BYTES = 4_000, 2**18
_MAX_MARKS = 10_000  # that are like the boundary; it is chosen so that there are none
_MAX_TEXT_BYTES = 10_000
_MAX_TEXTS = 32
_MAX_FILES = 1000


@dataclass(frozen=True, slots=True)
class FormPart:
    """A field of a form; a field with a filename is a file."""

    name: str
    is_file: bool
    content: bytes


def form_parts(body: bytes, content_type: str) -> list[FormPart]:
    """Parses a whole body into its parts, in order. Raises MalformedRequest."""
    if len(content_type) > _MAX_HEAD_BYTES:
        raise _unreadable(f"the Content-Type has more than {_MAX_HEAD_BYTES:,} bytes")
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise _unreadable("the Content-Type has no boundary")
    parts: list[FormPart] = []
    files = heads_bytes = 0
    for (_, start), (stop, _) in pairwise(_delimiters(body, b"\r\n--" + boundary)):
        head = _head(body, start, stop)
        heads_bytes += len(head)
        if heads_bytes > _MAX_HEADS_BYTES:
            raise _unreadable(f"its parts' headers have more than {_MAX_HEADS_BYTES:,} bytes")
        parts.append(_part(head, body[start + len(head) + 4 : stop]))
        files += parts[-1].is_file
        if files > _MAX_FILES or len(parts) - files > _MAX_TEXTS:
            raise _unreadable(f"it has more than {_MAX_FILES} files or {_MAX_TEXTS} other fields")
    return parts


def text(raw: bytes) -> str:
    """Decodes a field's name or value: UTF-8, or Latin-1 from old clients."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _delimiters(body: bytes, mark: bytes) -> Iterator[tuple[int, int]]:
    """Yields the start and end of each delimiter, from the line break before it up to the one after it, exclusive.

    The first may lack the break before it; the closing one is followed by "--". A line that only begins like a
    delimiter is content.
    """
    begin = -2 if body.startswith(mark[2:]) else body.find(mark)
    marks = 0
    while begin != -1:
        marks += 1
        if marks > _MAX_MARKS:
            raise _unreadable(f"it has more than {_MAX_MARKS:,} boundaries")
        end = begin + len(mark)
        if body.startswith(b"--", end):
            yield begin, end
            return
        line_end = body.find(b"\r\n", end)
        if line_end != -1 and not body[end:line_end].strip(b" \t"):
            yield begin, line_end
        begin = body.find(mark, end)
    raise _unreadable("the closing boundary is missing")


def _head(body: bytes, start: int, stop: int) -> bytes:
    """Returns a part's headers; the empty line after them may overlap the second delimiter."""
    end = body.find(b"\r\n\r\n", start, min(start + _MAX_HEAD_BYTES, stop + 2))
    if end == -1:
        raise _unreadable(f"a part's headers do not end within {_MAX_HEAD_BYTES:,} bytes")
    return body[start:end]


def _part(head: bytes, content: bytes) -> FormPart:
    options = _disposition(head)
    if b"name" not in options:
        raise _unreadable("a part's Content-Disposition has no name")
    part = FormPart(text(options[b"name"]), b"filename" in options, content)
    if not part.is_file and len(part.content) > _MAX_TEXT_BYTES:
        raise _unreadable(f"the field {part.name[:100]!r} has more than {_MAX_TEXT_BYTES:,} bytes")
    return part


def _disposition(head: bytes) -> dict[bytes, bytes]:
    """Returns the parameters of the Content-Disposition in a part's headers."""
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-disposition":
            return parse_options_header(value)[1]
    return {}


def _unreadable(reason: str) -> MalformedRequest:
    return MalformedRequest(
        f"The multipart body cannot be parsed: {reason}. A file needs a filename, as curl -F image=@scan.png sends."
    )
