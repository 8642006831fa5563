"""Tests of the fork server: children start, are ended, and outlive neither their server nor the service."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from service.sandbox.fork_server import ForkServer
from tests.service.sandbox.endings import wait_until_ended

TARGETS = "tests.service.sandbox.children"


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    server = ForkServer(TARGETS)
    yield server
    server.close()


def test_a_child_answers_with_messages_and_descriptors(server: ForkServer) -> None:
    child = server.start(f"{TARGETS}:echo")
    reader, writer = os.pipe()
    child.channel.send({"say": "hello"}, writer)
    os.close(writer)
    assert child.channel.receive(timeout_s=30) == ({"said": "hello"}, [])
    with open(reader, "rb") as pipe:  # the child wrote to the descriptor that came with the message
        assert pipe.read() == b"hello"
    assert child.end() == -signal.SIGKILL


@pytest.mark.parametrize(
    ("function", "status"),
    [
        ("returns", 0),
        ("raises", 70),
        ("exits", 3),
        ("crashes", -signal.SIGSEGV),
        ("missing", 70),  # a function that the module does not have
    ],
)
def test_the_way_in_which_a_child_ended_is_known(server: ForkServer, function: str, status: int) -> None:
    child = server.start(f"{TARGETS}:{function}")
    with pytest.raises(EOFError):
        child.channel.receive(timeout_s=30)
    assert child.end() == status


@pytest.mark.parametrize("function", ["sleeps", "spins", "ignores_signals"])
def test_a_busy_child_is_ended_at_once(server: ForkServer, function: str) -> None:
    child = server.start(f"{TARGETS}:{function}")
    with pytest.raises(TimeoutError):
        child.channel.receive(timeout_s=0.2)
    started = time.monotonic()
    assert child.end() == -signal.SIGKILL
    assert time.monotonic() - started < 5


def test_a_child_gets_no_message_of_another(server: ForkServer) -> None:
    with ThreadPoolExecutor(8) as threads:
        said = list(threads.map(lambda n: one_echo(server, f"word {n}"), range(40)))
    assert said == [f"word {n}" for n in range(40)]


def one_echo(server: ForkServer, word: str) -> str:
    child = server.start(f"{TARGETS}:echo")
    child.channel.send({"say": word})
    message, _ = child.channel.receive(timeout_s=60)
    child.end()
    said: str = message["said"]
    return said


def test_what_is_no_message_counts_as_the_end(server: ForkServer) -> None:
    for function in ("sends_garbage", "sends_a_list"):
        child = server.start(f"{TARGETS}:{function}")
        with pytest.raises(EOFError):
            child.channel.receive(timeout_s=30)
        child.end()


def new_processes(before: set[int]) -> list[psutil.Process]:
    return [process for process in psutil.Process().children(recursive=True) if process.pid not in before]


def test_children_end_with_their_server_and_the_next_starts_another() -> None:
    before, server = {process.pid for process in psutil.Process().children(recursive=True)}, ForkServer(TARGETS)
    child = server.start(f"{TARGETS}:spins")
    parent, *children = new_processes(before)
    parent.kill()
    wait_until_ended(*(process.pid for process in children))
    assert child.end() == -signal.SIGKILL
    assert one_echo(server, "again") == "again"
    server.close()


def test_closing_the_server_ends_its_children() -> None:
    before, server = {process.pid for process in psutil.Process().children(recursive=True)}, ForkServer(TARGETS)
    children = [server.start(f"{TARGETS}:spins") for _ in range(3)]
    new = [process.pid for process in new_processes(before)]
    assert len(new) == 4  # the server and its children
    server.close()
    wait_until_ended(*new)
    for child in children:
        child.channel.close()
