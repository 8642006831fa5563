"""Server processes: started, suspended while another is measured, and ended."""

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]  # where `python -m service` finds it
READY_WITHIN_S = 120


class Server:
    """A running server and every process that it started."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self._process = process
        self.port = port
        self._log = log

    @contextmanager
    def awake(self) -> Iterator[None]:
        """Resumes the server within the block; otherwise it is suspended, since an idle server may poll."""
        self._signal(signal.SIGCONT)
        try:
            yield
        finally:
            self._signal(signal.SIGSTOP)

    def memory_bytes(self) -> int:
        """Returns the resident memory of all its processes together."""
        return sum(process.memory_info().rss for process in self._all())

    def wait_until_ready(self, path: str) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while not _answers(self.port, path):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"no 200 from {path}:\n{self._log.read_text()[-4000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        self._signal(signal.SIGSTOP)

    def end(self) -> None:
        """Terminates the server, and kills what remains of it after 30 s."""
        everything = self._all()
        self._signal(signal.SIGCONT)
        self._process.terminate()
        _, left = psutil.wait_procs(everything, timeout=30)
        for process in left:
            process.kill()
        self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        for process in self._all():
            with suppress(psutil.NoSuchProcess):  # a helper process that has just ended
                process.send_signal(number)

    def _all(self) -> list[psutil.Process]:
        if self._process.poll() is not None:
            return []  # it has ended by itself, and wait_until_ready says why
        first = psutil.Process(self._process.pid)
        return [first, *first.children(recursive=True)]


@contextmanager
def serving(
    command: Sequence[str], *, port: int, ready: str, folder: Path, environment: Mapping[str, str]
) -> Iterator[Server]:
    """Runs a server for the duration of the block, suspended except within `awake`; waits until `ready` returns 200."""
    log = folder / f"{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | environment, stdout=output, stderr=output, start_new_session=True
        )
    server = Server(process, port, log)
    try:
        server.wait_until_ready(ready)
        server.stop()
        yield server
    finally:
        server.end()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
