"""Callers who leave at the worst moment: nothing of it is a bug in the log, and their memory is given back."""

import socket
import struct
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.service.hostile.raw_callers import call, post, small_is_right, takes_a_body_of
from tests.service.image_files import grey
from tests.service.service_processes import until
from tests.serving import request_anew, served

pytestmark = pytest.mark.slow
CALLERS, BUDGET = 24, 64 * 2**20
SEGMENT = post("/segment?model=blobs&format=probabilities", grey(1, height=600, width=600))
SENT = {
    "requests ahead": 2 * SEGMENT,
    "requests ahead, and half a one": 2 * SEGMENT + SEGMENT[:100],
    "4 MB to no route": post("/nothing", bytes(3_900_000), declared=4_000_000),
    "half of a body": post("/predict?model=brightness", bytes(2_000_000), declared=4_000_000),
}


def leave(caller: socket.socket, *, at_once: bool) -> None:
    """Closes a connection, with a reset if at once."""
    if at_once:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    caller.close()


def in_flight(url: httpx.URL) -> bool:
    return "\nstriate_in_flight_requests 1.0\n" not in request_anew("GET", url.join("/metrics")).text


def test_callers_who_leave_are_no_bugs_and_keep_nothing(root: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with served(log, STRIATE_MODELS=str(root), STRIATE_IMAGE_BYTES=str(BUDGET)) as (http, _), ExitStack() as held:
        url = http.base_url
        for sent in SENT.values():
            for n in range(CALLERS):
                caller = call(url, sent, held, timeout_s=0.02)
                time.sleep(0.002 * n % 0.05)  # from before its answer begins to the middle of it
                leave(caller, at_once=n % 2 == 0)
        assert small_is_right(url)
        until(lambda: not in_flight(url))
        until(lambda: takes_a_body_of(url, BUDGET))
    text = log.read_text()
    assert text.count("unhandled exception") == text.count("ASGI callable") == text.count("Traceback") == 0
