"""Real processes for tests: started, waited for, and ended."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def process(command: Sequence[str], *, ready: str, folder: Path, **environment: str) -> Iterator[None]:
    """A process that runs in `folder` while the block does, entered when the URL `ready` answers 200."""
    log = folder / "log"
    with log.open("w") as output:
        running = subprocess.Popen(command, cwd=folder, env=os.environ | environment, stdout=output, stderr=output)
        try:
            deadline = time.monotonic() + 90
            while not answers(ready):
                assert running.poll() is None, log.read_text()
                assert time.monotonic() < deadline, f"no 200 from {ready} within 90 s\n{log.read_text()}"
                time.sleep(0.2)
            yield
        finally:
            running.terminate()
            running.wait(timeout=40)
