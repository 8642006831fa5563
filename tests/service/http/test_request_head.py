"""Tests of request heads: their bounds, and what HTTP/1.1 demands, over real sockets and however they are cut."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.http.errors import MalformedRequest
from service.http.request_head import HEAD_BYTES, MOST_HEADERS, check_head
from tests.service.http.live_server import exchange, live, received, statuses

HOST = (b"host", b"striate")
LINE = b"GET /livez HTTP/1.1\r\n"
END = b"Connection: close\r\n\r\n"


@pytest.fixture(scope="module")
def port(root: Path) -> Iterator[int]:
    with live(root) as port:
        yield port


@pytest.mark.parametrize(
    ("headers", "version", "sentence"),
    [
        ([HOST], "1.1", None),
        ([(b"host", b"[::1]:3000")], "1.1", None),
        ([(b"host", b"")], "1.1", None),
        ([], "1.0", None),
        ([HOST, (b"transfer-encoding", b" Chunked ")], "1.1", None),
        ([], "1.1", "There are 0 Host headers"),
        ([HOST, HOST], "1.1", "There are 2 Host headers"),
        ([HOST, HOST], "1.0", "There are 2 Host headers"),
        ([(b"host", b"a b")], "1.1", "'a b' is not a host"),
        ([(b"host", b"evil/path")], "1.1", "'evil/path' is not a host"),
        ([(b"host", b"a\xff")], "1.1", "is not a host"),
        ([HOST, (b"transfer-encoding", b"gzip, chunked")], "1.1", "'gzip, chunked' is not supported"),
        ([HOST, (b"transfer-encoding", b"gzip"), (b"transfer-encoding", b"chunked")], "1.1", "'gzip, chunked'"),
        ([HOST, (b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"chunked")], "1.1", "'chunked, chunked'"),
        ([(b"transfer-encoding", b"chunked")], "1.0", "'chunked' is not supported"),
        ([HOST, *[(b"x", b"")] * (MOST_HEADERS - 1)], "1.1", None),
        ([HOST, *[(b"x", b"")] * MOST_HEADERS], "1.1", f"at most {MOST_HEADERS}"),
        ([HOST, (b"x", b"a" * (HEAD_BYTES - 50))], "1.1", None),
        ([HOST, (b"x", b"a" * HEAD_BYTES)], "1.1", "65,536 bytes"),
    ],
)
def test_a_head_is_checked(headers: list[tuple[bytes, bytes]], version: str, sentence: str | None) -> None:
    if sentence is None:
        check_head(b"/livez", headers, version)
        return
    with pytest.raises(MalformedRequest, match=sentence):
        check_head(b"/livez", headers, version)


def test_a_long_path_counts() -> None:
    with pytest.raises(MalformedRequest):
        check_head(b"/" * HEAD_BYTES, [HOST], "1.1")


REFUSED = {
    "100 KB in one header": LINE + b"Host: a\r\nX-Note: " + b"a" * 100_000 + b"\r\n" + END,
    "100 KB in a path": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n" + END,
    "5,000 headers": LINE + b"Host: a\r\n" + b"X-Note: abcd\r\n" * 5000 + END,
    "200 headers": LINE + b"Host: a\r\n" + b"X-Note: a\r\n" * 200 + END,
    "no Host": LINE + END,
    "two Hosts": LINE + b"Host: a\r\nHost: b\r\n" + END,
    "a coding beside chunked": LINE + b"Host: a\r\nTransfer-Encoding: gzip, chunked\r\n" + END + b"0\r\n\r\n",
    "two codings": LINE + b"Host: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n" + END + b"0\r\n\r\n",
}


@pytest.mark.parametrize("piece", [10**9, 1000], ids=["in one piece", "in pieces"])
@pytest.mark.parametrize("case", REFUSED)
def test_a_refused_head_has_the_services_error(port: int, case: str, piece: int) -> None:
    sent = REFUSED[case]
    with socket.create_connection(("127.0.0.1", port), timeout=60) as caller:
        for start in range(0, len(sent), piece):
            caller.sendall(sent[start : start + piece])
            time.sleep(0.0001 if piece < len(sent) else 0)
        answer = received(caller)
    assert statuses(answer) == [400]
    assert b'"code":"malformed_request"' in answer


def test_http_1_0_needs_no_host(port: int) -> None:
    assert statuses(exchange(port, b"GET /livez HTTP/1.0\r\n\r\n")) == [200]


@pytest.mark.parametrize("path", [b"/predict/", b"/models/", b"//", b"/livez/", b"/v2/health/live/"])
def test_a_slash_at_the_end_is_another_path_and_no_redirect(port: int, path: bytes) -> None:
    answer = exchange(port, b"GET " + path + b" HTTP/1.1\r\nHost: evil.example\r\n" + END)
    assert statuses(answer) == [404]
    assert b'"code":"no_such_route"' in answer
    assert b"evil.example" not in answer
