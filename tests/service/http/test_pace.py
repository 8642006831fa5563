"""Tests of the pace: bytes that make up for time, and pieces of an answer."""

import asyncio
import socket

import numpy as np
import pytest

from service.http.pace import PIECE_BYTES, Pace, has_unread, pieces


@pytest.mark.parametrize(
    ("received_bytes", "since", "now", "expected"),
    [
        ([], 100.0, 103.0, 100.0),
        ([1000], 100.0, 103.0, 101.0),
        ([1000, 1000, 1000], 100.0, 103.0, 103.0),
        ([10**9], 100.0, 103.0, 103.0),  # haste saves nothing
    ],
)
def test_bytes_make_up_for_time(received_bytes: list[int], since: float, now: float, expected: float) -> None:
    line = Pace(5.0, 1000)
    for nbytes in received_bytes:
        since = line.caught_up(since, nbytes, now)
    assert since == expected
    assert Pace(5.0).caught_up(100.0, 10**9, 103.0) == 100.0


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES, 3 * PIECE_BYTES + 5])
@pytest.mark.parametrize("more", [True, False])
def test_a_body_is_cut_into_pieces(size: int, more: bool) -> None:
    body = np.arange(size, dtype=np.uint8).tobytes()
    cut = list(pieces({"type": "http.response.body", "body": body, "more_body": more}))
    assert b"".join(piece["body"] for piece in cut) == body
    assert max(len(piece["body"]) for piece in cut) <= PIECE_BYTES
    assert [piece["more_body"] for piece in cut] == [True] * (len(cut) - 1) + [more]


def test_bytes_that_nobody_has_read_are_seen() -> None:
    class Transport(asyncio.BaseTransport):
        def get_extra_info(self, name: str, default: object = None) -> object:
            return ours

    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert not has_unread(Transport())
        theirs.send(b"G")
        assert has_unread(Transport())
    assert not has_unread(Transport())  # closed
