"""Load on a server of known speed: one request at a time, 20 ms each."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from benchmarks.client import answer, multipart, raw
from benchmarks.load import closed, open_loop

SERVICE_S = 0.02


class Slow(BaseHTTPRequestHandler):
    """POST /: 200 after 20 ms, one at a time. POST /busy: 429 at once. POST /gone: hangs up."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    turn = threading.Lock()
    bodies: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        self.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/gone":
            self.close_connection = True
            return
        if self.path == "/":
            with self.turn:
                time.sleep(SERVICE_S)
        body = b'{"classes": []}'
        self.send_response(200 if self.path == "/" else 429)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def test_one_caller_waits_as_long_as_a_request_takes(port: int) -> None:
    load = closed(raw(port, "/", b"body", kind="image/png"), callers=1, seconds=0.3)
    assert load.errors == 0
    assert load.p50 >= 20
    assert load.per_second <= 1 / SERVICE_S
    assert sum(load.latencies_s) <= load.seconds


def test_four_callers_wait_four_times_as_long_and_get_no_more(port: int) -> None:
    load = closed(raw(port, "/", b"body", kind="image/png"), callers=4, seconds=0, at_least=20)
    assert 20 <= len(load.latencies_s) <= 20 + 3  # those under way are waited for
    assert load.p50 >= 3.5 * 20
    assert load.per_second <= 1 / SERVICE_S


def test_an_open_loop_counts_the_wait_of_requests_that_a_closed_one_would_not_have_sent(port: int) -> None:
    target = raw(port, "/", b"body", kind="image/png")
    load = open_loop(target, rate=2 / SERVICE_S, seconds=0.5, seed=1)
    assert len(load.latencies_s) == 50
    # Fifty arrive in half a second and are served in a whole one: the last wait for about the other half.
    assert load.ms(100) > 300
    assert load.seconds >= 50 * SERVICE_S


def test_an_open_loop_sends_at_the_rate_that_is_asked_for(port: int) -> None:
    load = open_loop(raw(port, "/", b"body", kind="image/png"), rate=20, seconds=1, seed=0)
    assert len(load.latencies_s) == 20
    assert load.p50 >= 20


@pytest.mark.parametrize("path", ["/busy", "/gone"])
def test_failures_are_counted_and_too_many_end_it(port: int, path: str) -> None:
    target = raw(port, path, b"body", kind="image/png")
    load = closed(target, callers=2, seconds=0, at_least=10)
    assert (load.errors >= 10, load.latencies_s) == (True, [])
    with pytest.raises(RuntimeError, match="101 requests failed, 0 did not"):
        closed(target, callers=1, seconds=60)
    with pytest.raises(RuntimeError, match="requests failed, 0 did not"):
        open_loop(target, rate=1000, seconds=60, seed=0)


def test_what_is_sent_is_what_was_given(port: int) -> None:
    Slow.bodies.clear()
    assert answer(raw(port, "/", b"\x00\xff" * 50_000, kind="image/png")) == {"classes": []}
    assert answer(multipart(port, "/", b"PIXELS", field="image", kind="image/png")) == {"classes": []}
    sent_raw, sent_form = Slow.bodies
    assert sent_raw == b"\x00\xff" * 50_000
    assert b'name="image"; filename="image"\r\nContent-Type: image/png\r\n\r\nPIXELS\r\n--' in sent_form
    with pytest.raises(RuntimeError, match="answers 429"):
        answer(raw(port, "/busy", b"", kind="image/png"))
