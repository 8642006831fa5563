"""Tests of channels: messages keep their bounds, descriptors arrive, and a closed end is the end."""

import os

import pytest

from service.sandbox.json_channel import channel_pair


def test_messages_keep_their_bounds_and_order() -> None:
    ours, theirs = channel_pair()
    for number in range(10):
        ours.send({"number": number, "text": "x" * 1000 * number})
    assert [theirs.receive(timeout_s=10)[0]["number"] for _ in range(10)] == list(range(10))
    ours.close()
    with pytest.raises(EOFError):
        theirs.receive(timeout_s=10)
    theirs.close()


def test_descriptors_come_with_their_message() -> None:
    ours, theirs = channel_pair()
    reader, writer = os.pipe()
    ours.send({}, writer)
    os.close(writer)
    _, (received,) = theirs.receive(timeout_s=10)
    os.write(received, b"through")
    os.close(received)
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    ours.close()
    theirs.close()


def test_nothing_within_the_time_is_a_timeout() -> None:
    ours, theirs = channel_pair()
    with pytest.raises(TimeoutError):
        ours.receive(timeout_s=0.01)
    with pytest.raises(TimeoutError):  # a time that has passed already
        ours.receive(timeout_s=-1)
    ours.close()
    theirs.close()


def test_sending_to_a_closed_end_fails() -> None:
    ours, theirs = channel_pair()
    theirs.close()
    with pytest.raises(OSError, match=r"pipe|reset"):
        ours.send({"any": "thing"})
    ours.close()
