"""Request heads: what HTTP/1.1 demands of them (RFC 9112) and their bounds, which the parser does not check."""

import re
from collections.abc import Sequence
from itertools import chain

from service.http.errors import MalformedRequest

HEAD_BYTES = 64 * 1024
MOST_HEADERS = 128
_HOST = re.compile(rb"[\w.~!$&'()*+,;=%:\[\]-]*", re.ASCII)  # RFC 3986, 3.2.2, and a port


def check_head(url: bytes, headers: Sequence[tuple[bytes, bytes]], version: str) -> None:
    """Raises MalformedRequest. headers: names in lower case. version: "1.0" or "1.1"."""
    if len(headers) > MOST_HEADERS:
        raise MalformedRequest(f"There are {len(headers)} headers; at most {MOST_HEADERS} are allowed.")
    hosts, codings = [], []
    for name, value in headers:
        if name == b"host":
            hosts.append(value)
        elif name == b"transfer-encoding":
            codings.append(value)
    if len(url) + 4 * len(headers) + sum(map(len, chain.from_iterable(headers))) > HEAD_BYTES:
        raise head_too_long()
    if len(hosts) != 1 and (hosts or version != "1.0"):
        raise MalformedRequest(f"There are {len(hosts)} Host headers; there must be one.")
    if hosts and not _HOST.fullmatch(hosts[0]):
        raise MalformedRequest(f"The Host {_quoted(hosts[0])} is not a host and a port.")
    if codings and (len(codings) > 1 or codings[0].strip().lower() != b"chunked" or version == "1.0"):
        given = b", ".join(codings)
        raise MalformedRequest(f"The Transfer-Encoding {_quoted(given)} is not supported; send 'chunked' or a length.")


def head_too_long() -> MalformedRequest:
    return MalformedRequest(f"The headers do not end within {HEAD_BYTES:,} bytes.")


def _quoted(value: bytes) -> str:
    return repr(value[:100].decode("latin-1"))
