"""Tests of connection limits: malformed, endless and silent requests are ended while others are served."""

import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from service.http import pace
from service.http.pace import Pace
from tests.service.http.live_server import exchange, live, received, statuses
from tests.service.image_files import grey
from tests.service.service_processes import until

PNG = {"Content-Type": "image/png"}
HEAD = b"POST /predict HTTP/1.1\r\nHost: striate\r\n"


@pytest.fixture(scope="module")
def port(root: Path) -> Iterator[int]:
    with live(root) as port:
        yield port


@pytest.fixture
def short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortens the timeouts of the server; other tests keep the defaults, since machines may be slow."""
    monkeypatch.setattr(pace, "HEAD", Pace(2.0))
    monkeypatch.setattr(pace, "REST", Pace(2.0))
    monkeypatch.setattr(pace, "ANSWER", Pace(2.0, 32 * 1024))


@pytest.fixture
def many_files() -> Iterator[None]:
    """Raises the file limit for both ends of a thousand connections in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4096:
        pytest.skip(f"this process may open {hard} files, and the test needs 4096")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(autouse=True)
def others_are_served(port: int) -> Iterator[None]:
    yield
    answer = httpx.post(f"http://127.0.0.1:{port}/predict", content=grey(204), headers=PNG, timeout=120)
    assert answer.json()["classes"][0]["label"] == "bright"


CHUNKED = b"Transfer-Encoding: chunked\r\n"
NEXT = b"GET /smuggled HTTP/1.1\r\nHost: striate\r\n\r\n"
NOT_HTTP = {
    "a length and chunks": HEAD + b"Content-Length: 6\r\n" + CHUNKED + b"\r\n0\r\n\r\n" + NEXT,
    "chunks and a length": HEAD + CHUNKED + b"Content-Length: 6\r\n\r\n0\r\n\r\n" + NEXT,
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef" + NEXT,
    "a list of lengths": HEAD + b"Content-Length: 5, 6\r\n\r\nabcdef" + NEXT,
    "a negative length": HEAD + b"Content-Length: -1\r\n\r\n" + NEXT,
    "a length with a sign": HEAD + b"Content-Length: +5\r\n\r\nabcde" + NEXT,
    "a length in hexadecimal": HEAD + b"Content-Length: 0x5\r\n\r\nabcde" + NEXT,
    "a length that overflows": HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n" + NEXT,
    "chunks that are not last": HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + NEXT,
    "an unknown coding": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + NEXT,
    "space before a colon": HEAD + b"Content-Length : 5\r\n\r\nabcde" + NEXT,
    "a folded header": HEAD + b"X-Note: a\r\n b\r\n\r\n" + NEXT,
    "a folded length": HEAD + b"Content-Length:\r\n 5\r\n\r\nabcde" + NEXT,
    "a bare CR in a value": HEAD + b"X-Note: a\rContent-Length: 5\r\n\r\nabcde" + NEXT,
    "NUL in a value": HEAD + b"X-Note: a\0b\r\n\r\n" + NEXT,
    "NUL in a name": HEAD + b"X\0Note: a\r\n\r\n" + NEXT,
    "a chunk size that overflows": HEAD + CHUNKED + b"\r\nfffffffffffffffff\r\nabc\r\n0\r\n\r\n" + NEXT,
    "an invalid chunk size": HEAD + CHUNKED + b"\r\nxyz\r\nabc\r\n0\r\n\r\n" + NEXT,
    "no method": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(50),
    "another protocol": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a path beyond ASCII": b"GET /\xff\xfe HTTP/1.1\r\nHost: striate\r\n\r\n",
    "a tunnel": b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n" + NEXT,
}


@pytest.mark.parametrize("case", NOT_HTTP)
def test_invalid_http_is_rejected_and_nothing_after_it_is_read(port: int, case: str) -> None:
    answer = exchange(port, NOT_HTTP[case])
    assert set(statuses(answer)) <= {
        400,
        415,
    }  # 415: /predict was called without an image before the error was detected
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"no_such_route" not in answer


def test_a_parser_error_has_the_services_format(port: int) -> None:
    answer = exchange(port, b"GARBAGE\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"x-content-type-options: nosniff" in head
    assert body == b'{"error":"Invalid HTTP request received.","code":"malformed_request"}'


def trickle(port: int, first: bytes, again: bytes, *, most_bytes: int = 10**9) -> tuple[bytes, int]:
    """Sends `again` repeatedly until the server closes; returns its response and the number of bytes sent."""
    sent = 0
    with socket.create_connection(("127.0.0.1", port), timeout=120) as caller:
        try:
            caller.sendall(first)
            while sent < most_bytes:
                caller.sendall(again)
                sent += len(again)
        except OSError:  # closed
            pass
        return received(caller), sent


ENDLESS = {
    "header": (HEAD + b"X-Note: ", b"a" * 8192),
    "headers": (HEAD, b"X-Note: abc\r\n" * 600),
    "path": (b"GET /", b"a" * 8192),
    "trailer": (HEAD + b"Content-Type: image/png\r\n" + CHUNKED + b"\r\n1\r\na\r\n0\r\nX-Note: ", b"a" * 8192),
    "trailers": (HEAD + b"Content-Type: image/png\r\n" + CHUNKED + b"\r\n1\r\na\r\n0\r\n", b"X-Note: abc\r\n" * 600),
}


@pytest.mark.parametrize("case", ENDLESS)
def test_endless_requests_are_ended(port: int, case: str) -> None:
    first, again = ENDLESS[case]
    answer, sent = trickle(port, first, again, most_bytes=10**8)
    assert sent < 2 * 10**7  # the socket buffers, beside the 64 KiB
    if "trailer" not in case:
        assert set(statuses(answer)) <= {400}  # none if the reset overtook it


def test_a_trailer_is_not_a_header(port: int) -> None:
    sent = HEAD + b"Content-Type: image/png\r\nConnection: close\r\n" + CHUNKED + b"\r\n1\r\na\r\n0\r\n"
    answer = exchange(port, sent + b"X-Request-ID: from-the-trailer\r\n\r\n")
    assert statuses(answer) == [415]
    assert b"from-the-trailer" not in answer


SILENT = {
    "nothing at all": b"",
    "half a request line": b"GET /liv",
    "half the headers": HEAD + b"X-Note: a",
    "half the second request's headers": b"GET /livez HTTP/1.1\r\nHost: striate\r\n\r\nGET /livez HTTP/1.1\r\nHost",
}


@pytest.mark.usefixtures("short_timeouts")
@pytest.mark.parametrize("case", SILENT)
def test_a_silent_caller_is_disconnected(port: int, case: str) -> None:
    started = time.monotonic()
    answer = exchange(port, SILENT[case], timeout_s=120)
    assert time.monotonic() - started > 1.5
    assert statuses(answer) == ([200] if "second" in case else [])


def test_a_missing_body_is_ended_by_the_deadline_and_frees_its_place(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "REST", Pace(1.0))
    head = HEAD + b"Content-Type: image/png\r\nContent-Length: 100000\r\n\r\nabc"
    with live(root, timeout_s=2.0) as port:
        callers = [socket.create_connection(("127.0.0.1", port), timeout=120) for _ in range(20)]
        for caller in callers:
            caller.sendall(head)
        answers = [received(caller) for caller in callers]  # until closed: REST after the answer
        for caller in callers:
            caller.close()
        assert [statuses(answer) for answer in answers] == [[504]] * 20
        assert b"deadline_passed" in answers[0]
        metrics = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=120).text
        assert "\nstriate_in_flight_requests 1.0\n" in metrics  # this one


@pytest.mark.usefixtures("short_timeouts")
def test_an_unread_body_is_not_awaited(port: int) -> None:
    """Sends single bytes, which would keep a connection open that is only closed when idle."""
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=120) as caller:
        caller.sendall(b"GET /livez HTTP/1.1\r\nHost: striate\r\nContent-Length: 1000000\r\n\r\n")
        try:
            while time.monotonic() - started < 120:
                caller.sendall(b"a")
                time.sleep(0.2)
        except OSError:
            return
    raise AssertionError("it was never closed")


def test_a_body_that_ends_after_its_response_keeps_the_connection(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=120) as caller:
        caller.sendall(b"GET /livez HTTP/1.1\r\nHost: striate\r\nContent-Length: 4\r\n\r\nab")
        assert statuses(caller.recv(1 << 16)) == [200]
        caller.sendall(b"cd" + b"GET /livez HTTP/1.1\r\nHost: striate\r\nConnection: close\r\n\r\n")
        assert statuses(received(caller)) == [200]


def is_open(port: int, caller: socket.socket) -> bool:
    """Returns whether the server, in this process, still has its end of the connection open."""
    return (port, caller.getsockname()[1]) in {
        (each.laddr.port, each.raddr.port) for each in psutil.Process().net_connections("tcp") if each.raddr
    }


@pytest.mark.usefixtures("short_timeouts")
def test_an_unread_response_is_dropped(port: int) -> None:
    image = grey(1, height=1200, width=1200)  # answered with 11.5 MB
    asked = b"POST /segment?model=blobs&format=probabilities HTTP/1.1\r\nHost: striate\r\nContent-Type: image/png\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=120) as caller:
        caller.sendall(asked + b"Content-Length: %d\r\n\r\n" % len(image) + image)
        caller.recv(1, socket.MSG_PEEK)  # the answer has begun
        until(lambda: not is_open(port, caller))
        answer = received(caller)
    assert statuses(answer) in ([200], [])
    assert len(answer) < 8 * 1200 * 1200


def test_a_websocket_handshake_is_answered_as_a_plain_request(port: int) -> None:
    asked = b"GET /livez HTTP/1.1\r\nHost: striate\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n"
    answer = exchange(port, asked + b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    assert statuses(answer) == [200]


@pytest.mark.usefixtures("many_files", "short_timeouts")
def test_a_thousand_idle_connections_do_not_block_a_request(port: int) -> None:
    idle = [socket.create_connection(("127.0.0.1", port), timeout=120) for _ in range(1000)]
    answer = httpx.post(f"http://127.0.0.1:{port}/predict", content=grey(9), headers=PNG, timeout=120)
    assert answer.status_code == 200
    assert [received(caller) for caller in idle] == [b""] * 1000  # all of them are closed in time
    for caller in idle:
        caller.close()
