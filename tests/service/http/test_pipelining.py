"""Tests of requests that are sent before earlier ones are answered: order, errors behind them, bounds, and leaving."""

import asyncio
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.http.connection import AHEAD_BYTES, AHEAD_REQUESTS
from tests.service.exposition import wait_for_line
from tests.service.faults.listening_service import listening
from tests.service.gated_sessions import Gate
from tests.service.http.live_server import exchange, live, received, statuses
from tests.service.image_files import grey

GET = b"GET /livez HTTP/1.1\r\nHost: striate\r\n\r\n"
BAD = b"GARBAGE\r\n\r\n"
IMAGE = grey(204)
SLOW = grey(1, height=1000, width=1000)


def post(image: bytes, path: bytes = b"/predict?model=brightness") -> bytes:
    head = b"POST " + path + b" HTTP/1.1\r\nHost: striate\r\nContent-Type: image/png\r\n"
    return head + b"Content-Length: %d\r\n\r\n" % len(image) + image


SEGMENT = post(SLOW, b"/segment?model=blobs&format=probabilities")  # takes a while, and is answered with 8 MB


@pytest.fixture(scope="module")
def port(root: Path) -> Iterator[int]:
    with live(root) as port:
        yield port


CASES = {
    "good, bad": (GET + BAD, [200, 400]),
    "good, good, bad": (post(IMAGE) + GET + BAD, [200, 200, 400]),
    "good, bad, good": (GET + BAD + GET, [200, 400]),
    "slow, good, bad": (SEGMENT + GET + BAD, [200, 200, 400]),
    "bad": (BAD + GET, [400]),
    "good, no Host": (GET + b"GET /livez HTTP/1.1\r\n\r\n" + GET, [200, 400]),
    "good, a broken chunk": (
        GET + b"POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        [200, 400],
    ),
    "good, close, good": (GET + GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + GET, [200, 200]),
    "as many as may be": (GET * (AHEAD_REQUESTS + 1) + BAD, [200] * (AHEAD_REQUESTS + 1) + [400]),
    "too many": (GET * 2000, [200] * (AHEAD_REQUESTS + 1) + [429]),
    "too many bytes": (SEGMENT + GET + post(bytes(3 * AHEAD_BYTES)), [200, 200, 429]),
}


@pytest.mark.parametrize("case", CASES)
def test_good_requests_before_a_bad_one_are_answered_and_the_connection_ends(port: int, case: str) -> None:
    sent, expected = CASES[case]
    assert statuses(exchange(port, sent)) == expected


def test_requests_that_are_sent_ahead_in_pieces_are_answered_in_order(port: int) -> None:
    sent = post(IMAGE) + GET + post(IMAGE) + GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    with socket.create_connection(("127.0.0.1", port), timeout=60) as caller:
        for start in range(0, len(sent), 37):
            caller.sendall(sent[start : start + 37])
            time.sleep(0.001)
        answer = received(caller)
    assert statuses(answer) == [200] * 4
    assert [b"bright" in part for part in answer.split(b"HTTP/1.1 ")[1:]] == [True, False, True, False]


@pytest.mark.anyio
@pytest.mark.parametrize("ahead", [[], [GET], [GET, GET], [GET + GET[:20]], [GET, post(bytes(60_000))], [SEGMENT * 9]])
async def test_a_caller_who_sends_more_and_leaves_is_noticed(root: Path, ahead: list[bytes]) -> None:
    gate = Gate()
    async with listening(root, gate) as http:
        gate.shut()
        _, writer = await asyncio.open_connection(http.base_url.host, http.base_url.port)
        for sent in [post(IMAGE), *ahead]:
            writer.write(sent)
            await writer.drain()
            await asyncio.sleep(0.1)  # until it is watched for its leaving
        await wait_for_line(http, 'striate_queue_depth{model="brightness"} 1.0')
        writer.close()
        await wait_for_line(http, 'striate_requests_total{route="/predict",status="499"} 1.0')
        gate.open()
