"""Real processes for tests: started, waited for, and ended."""

import os
import random
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil


def free_port() -> int:
    """Below those that the system gives to outgoing connections: one of them could take it before the service does."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=10).status_code == 200
    except httpx.TransportError:
        return False


def end(process: subprocess.Popen[bytes]) -> None:
    """Fails where it does not end when it is asked to; even then nothing of it is left to disturb the next test."""
    if process.poll() is not None:
        return
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    process.terminate()
    try:
        process.wait(timeout=120)
    except subprocess.TimeoutExpired:
        for each in family:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        process.wait(timeout=120)
        raise


@contextmanager
def process(command: Sequence[str], *, ready: str, folder: Path, **environment: str) -> Iterator[None]:
    """A process that runs in `folder` while the block does, entered when the URL `ready` answers 200."""
    log = folder / "log"
    with log.open("w") as output:
        running = subprocess.Popen(command, cwd=folder, env=os.environ | environment, stdout=output, stderr=output)
        try:
            deadline = time.monotonic() + 240
            while not answers(ready):
                assert running.poll() is None, log.read_text()
                assert time.monotonic() < deadline, f"no 200 from {ready} within 240 s\n{log.read_text()}"
                time.sleep(0.2)
            yield
        finally:
            end(running)
