"""Tests of decoding in a child: each request leads to the next, and the limits hold."""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from service.sandbox.fork_server import Child, ForkServer
from tests.models.decode.files import noise, png

MEMORY = 2**28


@pytest.fixture
def child() -> Iterator[Child]:
    server = ForkServer("service.sandbox.decode_child")
    child = server.start("service.sandbox.decode_child:main")
    yield child
    child.end()
    server.close()


def memory_of(data: bytes) -> int:
    memory = os.memfd_create("test")
    os.write(memory, data)
    return memory


def ask(child: Child, request: dict[str, Any], *descriptors: int) -> dict[str, Any]:
    child.channel.send(request | {"memory": MEMORY}, *descriptors)
    return child.channel.receive(timeout_s=60)[0]


def test_a_file_is_probed_opened_and_read(child: Child) -> None:
    data, target = memory_of(png(noise(9, 11))), memory_of(bytes(99))
    probed = ask(child, {"probe": {"nbytes": os.fstat(data).st_size}}, data)
    assert (probed["width"], probed["height"], probed["dtype"]) == (11, 9, "uint8")
    assert ask(child, {"open": {}})["levels"] == [[[9, 11], [1.0, 1.0]]]
    assert ask(child, {"read": {"region": {"Y": [0, 9]}, "level": 0, "nbytes": 99}}, target) == {}
    np.testing.assert_array_equal(np.frombuffer(os.pread(target, 99, 0), np.uint8).reshape(9, 11), noise(9, 11))
    os.close(data)
    os.close(target)


def test_a_closed_file_is_forgotten(child: Child) -> None:
    data = memory_of(png(noise(9, 11)))
    ask(child, {"probe": {"nbytes": os.fstat(data).st_size}}, data)
    os.close(data)
    child.channel.send({"close": {}})
    child.channel.send({"open": {}, "memory": MEMORY})
    with pytest.raises(EOFError):  # a request out of turn is no caller's: the child ends
        child.channel.receive(timeout_s=60)


def test_it_keeps_no_descriptor(child: Child) -> None:
    """More than the child may have open."""
    data = memory_of(png(noise(9, 11)))
    for _ in range(100):
        ask(child, {"probe": {"nbytes": os.fstat(data).st_size}}, data)
    os.close(data)
