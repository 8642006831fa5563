"""Memory stays level: what a request leaves behind would add up in a service that runs for weeks."""

import socket
from pathlib import Path

import httpx
import psutil
import pytest

from tests.service.image_files import form, grey
from tests.serving import served

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
WARM, MANY = 1_000, 30_000
MOST_GROWTH = 1.05


def ask(connection: socket.socket, request: bytes) -> bytes:
    """One request on a kept connection -> its answer; a client library would take longer than the service."""
    connection.sendall(request)
    answer = connection.recv(65536)
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(65536)
    head, _, body = answer.partition(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    while len(body) < length:
        body += connection.recv(65536)
    return head


def resident_mib(pid: int) -> dict[int, float]:
    """Of the process and of each that it started, by their ids."""
    root = psutil.Process(pid)
    return {each.pid: each.memory_info().rss / 2**20 for each in (root, *root.children(recursive=True))}


def test_memory_after_30000_requests_is_what_it_was_after_the_first_1000(root: Path, tmp_path: Path) -> None:
    with served(tmp_path / "log", STRIATE_MODELS=str(root)) as (http, process):
        built = httpx.Request("POST", http.base_url.join("/predict"), files=form(grey(204)))
        lines = [f"{name}: {value}" for name, value in built.headers.items()]
        request = "\r\n".join(["POST /predict HTTP/1.1", *lines, "\r\n"]).encode() + built.read()
        with socket.create_connection((http.base_url.host, http.base_url.port)) as connection:
            for _ in range(WARM):
                assert ask(connection, request).startswith(b"HTTP/1.1 200 ")
            before = resident_mib(process.pid)
            for _ in range(MANY - WARM):
                ask(connection, request)
            assert ask(connection, request).startswith(b"HTTP/1.1 200 ")
        after = resident_mib(process.pid)
    assert after.keys() == before.keys()
    for pid in before:
        assert after[pid] <= MOST_GROWTH * before[pid]
