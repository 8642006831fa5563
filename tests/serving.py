"""Real processes for tests: started, waited for, and ended."""

import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

Running = subprocess.Popen[bytes]


def free_port() -> int:
    """Below those that the system gives to outgoing connections: one of them could take it before the service does."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


def request_anew(method: str, url: httpx.URL | str, **options: Any) -> httpx.Response:
    """Sends a request over a connection of its own, which any front end may accept.

    Without certificates, which HTTP does not need: reading them takes longer than most requests.
    """
    return httpx.request(method, url, verify=False, **{"timeout": 120, **options})


def answers(url: str) -> bool:
    try:
        return request_anew("GET", url, timeout=10).status_code == 200
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


def started(start: Callable[[], Running], wait_until_ready: Callable[[Running], None]) -> Running:
    """Starts a process; anew where another one has taken a port that BentoML had just found free for itself."""
    for tries_left in (2, 1, 0):
        running = start()
        try:
            wait_until_ready(running)
        except BaseException as error:
            end(running)
            if not tries_left or "Address already in use" not in str(error):
                raise
        else:
            break
    return running


@contextmanager
def process(command: Sequence[str], *, ready: str, folder: Path, **environment: str) -> Iterator[None]:
    """A process that runs in `folder` while the block does, entered when the URL `ready` answers 200."""
    log = folder / "log"

    def start() -> Running:
        with log.open("w") as output:
            return subprocess.Popen(command, cwd=folder, env=os.environ | environment, stdout=output, stderr=output)

    def wait(running: Running) -> None:
        deadline = time.monotonic() + 240
        while not answers(ready):
            assert running.poll() is None, log.read_text()
            assert time.monotonic() < deadline, f"no 200 from {ready} within 240 s\n{log.read_text()}"
            time.sleep(0.2)

    running = started(start, wait)
    try:
        yield
    finally:
        end(running)


ROOT = Path(__file__).parents[1]


def environment(**variables: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("STRIATE_", "BENTOML_"))}
    return {**inherited, **variables}


def command(port: int, *options: str) -> list[str]:
    return [sys.executable, "-m", "service", "--port", str(port), *options]


@contextmanager
def served(
    log: Path, *, within: Sequence[str] = (), options: Sequence[str] = (), **variables: str
) -> Iterator[tuple[httpx.Client, subprocess.Popen[bytes]]]:
    """Runs a service with options until every front end is ready; its output goes to `log`. within: what runs it."""
    port, front_ends = free_port(), int(variables.get("STRIATE_FRONT_ENDS", "1"))

    def start() -> Running:
        with log.open("wb") as out:
            return subprocess.Popen(
                [*within, *command(port, *options)],
                cwd=ROOT,
                env=environment(**variables),
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as http:
        process = started(start, lambda running: wait_until_ready(http, running, log, front_ends=front_ends))
        try:
            yield http, process
        finally:
            end(process)


def wait_until_ready(http: httpx.Client, process: Running, log: Path, *, front_ends: int) -> None:
    """Waits for the service, and for the log line of each front end: any one of several may answer /readyz."""
    for _ in range(1200):
        assert process.poll() is None, f"ended with {process.returncode}\n{log.read_text()}"
        try:
            all_ready = front_ends == 1 or log.read_text().count('"event":"ready"') >= front_ends
            if all_ready and http.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(log.read_text())
