"""Tests of raw requests over a socket: each gets 400 and the end of its connection, or one right answer."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.service.http.live_server import exchange, statuses
from tests.service.image_files import grey
from tests.serving import served

pytestmark = pytest.mark.slow
HOST = b"Host: striate\r\n"
CLOSE = HOST + b"Connection: close\r\n"
POST = b"POST /predict?model=brightness HTTP/1.1\r\nContent-Type: image/png\r\n" + CLOSE
GET = b"GET /livez HTTP/1.1\r\n" + HOST
CHUNKED = b"Transfer-Encoding: chunked\r\n"
HIDDEN = b"GET /models HTTP/1.1\r\nX-Request-ID: smuggled\r\n" + CLOSE + b"\r\n"  # it must never be answered
IMAGE = grey(204)


def chunk(content: bytes, *, size: bytes = b"", after: bytes = b"") -> bytes:
    return (size or b"%x" % len(content)) + after + b"\r\n" + content + b"\r\n"


def chunked(*chunks: bytes, head: bytes = CHUNKED, end: bytes = b"0\r\n\r\n") -> bytes:
    return POST + head + b"\r\n" + b"".join(chunks) + end


def with_length(value: bytes, body: bytes = b"abcdef") -> bytes:
    return POST + b"Content-Length: " + value + b"\r\n\r\n" + body + HIDDEN


REJECTED = {
    "two lengths": with_length(b"6\r\nContent-Length: 5"),
    "the same length twice": with_length(b"6\r\nContent-Length: 6"),
    "a list of lengths": with_length(b"6, 5"),
    "a list of one length": with_length(b"6, 6"),
    "a length and chunks": POST + b"Content-Length: 6\r\n" + CHUNKED + b"\r\n0\r\n\r\n" + HIDDEN,
    "chunks and a length": POST + CHUNKED + b"Content-Length: 6\r\n\r\n0\r\n\r\n" + HIDDEN,
    "a negative length": with_length(b"-1"),
    "a length with a sign": with_length(b"+6"),
    "a length in hexadecimal": with_length(b"0x6"),
    "a length with a fraction": with_length(b"6.0"),
    "a length with a comma": with_length(b"1,000"),
    "a length with letters": with_length(b"6a"),
    "a length with a space within": with_length(b"6 6"),
    "an empty length": with_length(b""),
    "a length beyond 64 bits": with_length(b"9" * 40),
    "a length in other digits": with_length("٦".encode()),
    "a chunk's size with a sign": chunked(chunk(b"abcdef", size=b"+6"), end=b"0\r\n\r\n" + HIDDEN),
    "a negative chunk": chunked(chunk(b"abcdef", size=b"-6"), end=HIDDEN),
    "a chunk's size with 0x": chunked(chunk(b"abcdef", size=b"0x6"), end=HIDDEN),
    "a chunk's size that is empty": chunked(b"\r\nabcdef\r\n", end=HIDDEN),
    "a chunk's size beyond 64 bits": chunked(chunk(b"abcdef", size=b"f" * 17), end=HIDDEN),
    "a chunk's size that wraps": chunked(chunk(b"abcdef", size=b"1" + b"0" * 16 + b"6"), end=HIDDEN),
    "a chunk's size of words": chunked(chunk(b"abcdef", size=b"six"), end=HIDDEN),
    "a chunk that is longer than it says": chunked(chunk(b"abcdef", size=b"3"), end=HIDDEN),
    "a chunk that ends in LF": chunked(b"6\nabcdef\n", end=b"0\n\n" + HIDDEN),
    "an extension of 1 MB": chunked(chunk(b"abcdef", after=b";" + b"a" * 2**20), end=HIDDEN),
    "trailers of 1 MB": chunked(chunk(b"abcdef"), end=b"0\r\n" + b"X-Note: aaaa\r\n" * 80_000 + b"\r\n" + HIDDEN),
    "a folded header": GET + b"X-Note: a\r\n b\r\n\r\n" + HIDDEN,
    "a header that begins with a space": GET + b" X-Note: a\r\n\r\n" + HIDDEN,
    "a space before the colon": GET + b"X-Note : a\r\n\r\n" + HIDDEN,
    "a header without a colon": GET + b"X-Note\r\n\r\n" + HIDDEN,
    "a header without a name": GET + b": a\r\n\r\n" + HIDDEN,
    "a bare CR in a header": GET + b"X-Note: a\rb\r\n\r\n" + HIDDEN,
    "a bare LF in a header": GET + b"X-Note: a\n" + HIDDEN,
    "NUL in a header": GET + b"X-Note: a\0b\r\n\r\n" + HIDDEN,
    "NUL in a header's name": GET + b"X-\0Note: a\r\n\r\n" + HIDDEN,
    "NUL in the path": b"GET /liv\0ez HTTP/1.1\r\n" + CLOSE + b"\r\n" + HIDDEN,
    "a control character in the path": b"GET /liv\x01ez HTTP/1.1\r\n" + CLOSE + b"\r\n" + HIDDEN,
    "a space in the path": b"GET /liv ez HTTP/1.1\r\n" + CLOSE + b"\r\n" + HIDDEN,
    "lines that end in LF": GET.replace(b"\r\n", b"\n") + b"\n" + HIDDEN,
    "HTTP/3.0": b"GET /livez HTTP/3.0\r\n" + HOST + b"\r\n" + HIDDEN,
    "HTTP/1.10": b"GET /livez HTTP/1.10\r\n" + HOST + b"\r\n" + HIDDEN,
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + HIDDEN,
    "a method in small letters": b"get /livez HTTP/1.1\r\n" + HOST + b"\r\n" + HIDDEN,
    "a method that is none": b"STEAL /livez HTTP/1.1\r\n" + HOST + b"\r\n" + HIDDEN,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "bytes": bytes(range(256)),
}
ANSWERED: dict[str, tuple[bytes, int]] = {
    "a length": (POST + b"Content-Length: %d\r\n\r\n" % len(IMAGE) + IMAGE, 200),
    "chunks": (chunked(chunk(IMAGE[:9]), chunk(IMAGE[9:])), 200),
    "chunks of a byte": (chunked(*[chunk(IMAGE[n : n + 1]) for n in range(len(IMAGE))]), 200),
    "a chunk's extension": (chunked(chunk(IMAGE, after=b";name=value")), 200),
    "a chunk's size in capitals and with zeros": (chunked(chunk(IMAGE, size=b"00%X" % len(IMAGE))), 200),
    "trailers": (chunked(chunk(IMAGE), end=b"0\r\nX-Request-ID: smuggled\r\n\r\n"), 200),
    "a request behind the end": (POST + b"Content-Length: %d\r\n\r\n" % len(IMAGE) + IMAGE + HIDDEN, 200),
    "no version, which is HTTP/0.9": (b"GET /livez\r\n" + HOST + b"\r\n" + HIDDEN, 200),
    "TRACE": (b"TRACE /livez HTTP/1.1\r\n" + CLOSE + b"\r\n", 405),
    "DELETE": (b"DELETE /models HTTP/1.1\r\n" + CLOSE + b"\r\n", 405),
    "a parent folder": (b"GET /models/brightness/files/../../../etc/passwd HTTP/1.1\r\n" + CLOSE + b"\r\n", 404),
    "an encoded parent folder": (b"GET /models/brightness/files/%2e%2e%2frdf.yaml HTTP/1.1\r\n" + CLOSE + b"\r\n", 404),
    "a parent folder with a semicolon": (b"GET /web/..;/livez HTTP/1.1\r\n" + CLOSE + b"\r\n", 404),
    "an encoded NUL": (b"GET /models/%00 HTTP/1.1\r\n" + CLOSE + b"\r\n", 404),
    "an encoded line feed": (b"GET /models/a%0d%0aX-Injected:%20b HTTP/1.1\r\n" + CLOSE + b"\r\n", 404),
    "bytes that are no UTF-8": (b"GET /models/%ff%fe HTTP/1.1\r\n" + CLOSE + b"\r\n", 404),
    "an upgrade": (GET + b"Connection: close, Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n", 200),
    "a request id with a tab": (GET + b"Connection: close\r\nX-Request-ID: a\tb\r\n\r\n", 200),
}


@pytest.fixture(scope="module")
def port(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with served(tmp_path_factory.mktemp("service") / "log", STRIATE_MODELS=str(root)) as (http, _):
        yield int(httpx.URL(http.base_url).port or 0)


@pytest.mark.parametrize("case", REJECTED)
def test_what_is_not_strict_http_gets_one_400_and_nothing_behind_it_is_read(port: int, case: str) -> None:
    answer = exchange(port, REJECTED[case])
    assert statuses(answer) == [400]
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"\r\nconnection: close" in head.lower()
    assert b'"code":"malformed_request"' in body
    assert b"smuggled" not in answer


@pytest.mark.parametrize("case", ANSWERED)
def test_what_is_http_gets_one_right_answer(port: int, case: str) -> None:
    sent, status = ANSWERED[case]
    answer = exchange(port, sent)
    assert statuses(answer) == [status]
    assert (b'"label":"bright"' in answer) is sent.startswith(b"POST")
    for forged in (b"smuggled", b"root:", b"\r\nX-Injected", b"\r\nx-injected"):
        assert forged not in answer


def test_the_service_still_answers(port: int) -> None:
    got = httpx.post(f"http://127.0.0.1:{port}/predict", files={"image": IMAGE}, data={"model": "brightness"})
    assert got.json()["classes"][0]["label"] == "bright"
