"""Tests of decoding in a child: each request leads to the next, and the limits hold."""

import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from service.sandbox.decoders import KEEPS_MEMORY
from service.sandbox.fork_server import Child, ForkServer
from tests.models.decode.files import noise, png
from tests.service.service_processes import until

MEMORY = 2**28


@pytest.fixture
def child(request: pytest.FixtureRequest) -> Iterator[Child]:
    """A child that runs `main`, or the function that a test is given as this fixture's parameter."""
    module, _, function = getattr(request, "param", "service.sandbox.decode_child:main").partition(":")
    server = ForkServer(module, variables=KEEPS_MEMORY)
    child = server.start(f"{module}:{function}")
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


def minor_faults(child: Child) -> int:
    return int(Path(f"/proc/{child._pid}/stat").read_text().rpartition(")")[2].split()[7])


def resident(child: Child) -> int:
    return psutil.Process(child._pid).memory_info().rss


def decode(child: Child, data: int, target: int, side: int) -> None:
    ask(child, {"probe": {"nbytes": os.fstat(data).st_size}}, data)
    ask(child, {"open": {}})
    region = {"Y": [0, side], "X": [0, side]}
    ask(child, {"read": {"region": region, "level": 0, "nbytes": side * side}}, target)
    child.channel.send({"close": {}})


def test_the_next_image_takes_the_memory_of_the_former(child: Child) -> None:
    """Anew are only the pages of the pixels, which go to the service, and a few more."""
    side, pages = 2048, 2048 * 2048 // resource.getpagesize()
    data, targets = memory_of(png(np.zeros((side, side), np.uint8))), [memory_of(bytes(side * side)) for _ in range(4)]
    for target in targets[:2]:
        decode(child, data, target, side)
    before = minor_faults(child)
    for target in targets[2:]:
        decode(child, data, target, side)
    assert minor_faults(child) - before < 2 * 1.5 * pages
    for each in (data, *targets):
        os.close(each)


@pytest.mark.parametrize("child", ["tests.service.sandbox.children:fragments_memory"], indirect=True)
def test_an_idle_child_keeps_little_memory(child: Child) -> None:
    data = memory_of(png(noise(9, 11)))
    for _ in range(2):
        ask(child, {"probe": {"nbytes": 1}}, data)
        assert resident(child) > 200 * 2**20
        child.channel.send({"close": {}})
        until(lambda: resident(child) < 150 * 2**20)
    os.close(data)
