"""A real server on a real socket, in a thread of the test's own process, with the protocol that the service runs on."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from service.http.application import create_app
from service.http.connection import BoundedProtocol
from service.settings import Settings
from tests.serving import request_anew


@contextmanager
def live(root: Path, **fields: Any) -> Iterator[int]:
    """The port of a service of the packages in `root`, ready."""
    settings = Settings(models=root, device="cpu", session_threads=1, worker_threads=2, **fields)
    config = uvicorn.Config(create_app(settings), http=BoundedProtocol, port=0, log_config=None, server_header=False)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            port = listener.getsockname()[1]
            wait_until_ready(port)
            yield port
        finally:
            server.should_exit = True
            thread.join(timeout=60)


def wait_until_ready(port: int) -> None:
    deadline = time.monotonic() + 240
    while True:
        try:
            if request_anew("GET", f"http://127.0.0.1:{port}/readyz", timeout=20).status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.05)


def exchange(port: int, sent: bytes, *, timeout_s: float = 120) -> bytes:
    """All that the server answers to these bytes until it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
        connection.sendall(sent)
        return received(connection)


def received(connection: socket.socket) -> bytes:
    """What comes until the server closes; a reset ends it too."""
    parts: list[bytes] = []
    try:
        while part := connection.recv(1 << 16):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def statuses(answer: bytes) -> list[int]:
    """The status of each answer in what came over one connection."""
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]
