"""Tests of the pace that callers must keep: bodies and answers that come or go too slowly, on any route."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from service.http import pace
from service.http.pace import Pace
from service.http.paced_connection import PacedProtocol
from tests.service.http.live_server import live, received, statuses
from tests.service.image_files import grey

SIDE = 1200  # answered with 5.8 MB of probabilities
IMAGE = grey(1, height=SIDE, width=SIDE)
SEGMENT = b"POST /segment?model=blobs&format=probabilities HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\n"
LARGE = SEGMENT + b"Content-Length: %d\r\n\r\n" % len(IMAGE) + IMAGE


@pytest.fixture(scope="module")
def port(root: Path) -> Iterator[int]:
    with live(root) as port:
        yield port


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "BODY", Pace(2.0, 1024))
    monkeypatch.setattr(pace, "REST", Pace(1.0))
    monkeypatch.setattr(pace, "ANSWER", Pace(2.0, 512 * 1024))


def head(path: bytes, nbytes: int) -> bytes:
    return b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n" % (path, nbytes)


ROUTES = [
    b"/predict?model=brightness",
    b"/v2/models/brightness/infer",
    b"/v2/repository/index",
    b"/v2/repository/models/a/load",
]


def drip(port: int, path: bytes, drop: bytes, *, nbytes: int, every_s: float) -> bytes:
    """Sends a drop of a body again and again; returns the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=every_s) as caller:
        caller.sendall(head(path, nbytes) + b"{}")
        answer = b""
        until = time.monotonic() + 60
        while not answer and time.monotonic() < until:
            try:
                caller.sendall(drop)
                answer = caller.recv(65536)
            except TimeoutError:
                pass
        caller.settimeout(60)
        return answer + received(caller)


@pytest.mark.usefixtures("hurry")
def test_a_body_that_does_not_come_is_refused_on_every_route(port: int) -> None:
    started = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        sent = [
            pool.submit(drip, port, path, drop, nbytes=5000, every_s=0.3) for path in ROUTES for drop in (b"", b"a")
        ]
        answers = [each.result() for each in sent]
    assert [statuses(answer) for answer in answers] == [[408]] * 8
    assert all(b'"code":"body_too_slow"' in answer for answer in answers)
    assert time.monotonic() - started > 1.5


@pytest.mark.slow
def test_a_body_that_comes_slowly_but_steadily_is_ended_by_the_deadline(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PacedProtocol, "timeout_s", 2.0)
    answer = drip(port, b"/v2/repository/index", bytes(1000), nbytes=60_000, every_s=0.2)
    assert statuses(answer) == [504]
    assert b"2 s" in answer


def read_slowly(port: int, nbytes: int, *, every_s: float) -> int:
    """Reads a large answer in such portions; returns how much of its body came."""
    with socket.socket() as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        caller.settimeout(60)
        caller.connect(("127.0.0.1", port))
        caller.sendall(LARGE.replace(b"Host: a", b"Host: a\r\nConnection: close"))
        parts = []
        try:
            while part := caller.recv(nbytes):
                parts.append(part)
                time.sleep(every_s)
        except ConnectionResetError:
            pass
        return len(b"".join(parts).partition(b"\r\n\r\n")[2])


@pytest.mark.slow
@pytest.mark.usefixtures("hurry")
def test_an_answer_that_is_taken_too_slowly_is_ended_and_one_that_is_taken_slowly_is_not(port: int) -> None:
    whole = read_slowly(port, 10**6, every_s=0.0)
    assert whole >= 4 * SIDE * SIDE
    started = time.monotonic()
    assert read_slowly(port, 10_000, every_s=0.1) < whole  # 100 KB/s: far below the least rate
    assert time.monotonic() - started < 20
    assert read_slowly(port, 200_000, every_s=0.05) == whole


def ask_for_ever(caller: socket.socket) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        caller.sendall(b"GET /docs.json HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(0.05)


@pytest.mark.usefixtures("hurry")
def test_whoever_asks_again_and_again_without_reading_is_ended(port: int) -> None:
    with socket.socket() as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        caller.settimeout(60)
        caller.connect(("127.0.0.1", port))
        with pytest.raises(ConnectionError):
            ask_for_ever(caller)


def test_an_answer_is_whole_however_it_is_cut(port: int) -> None:
    url = f"http://127.0.0.1:{port}/segment?model=blobs&format=probabilities"
    answers = [httpx.post(url, content=IMAGE, headers={"Content-Type": "image/png"}, timeout=60) for _ in range(2)]
    assert [len(answer.content) for answer in answers] == [int(answers[0].headers["Content-Length"])] * 2
    assert answers[0].content == answers[1].content
