"""Supervisor: the parent process starts the engine, and restarts it when it ends."""

import atexit
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

from service.settings import child_environment
from service.telemetry.log import LogLevel, log

_BACKLOG = 1024
_MIN_DELAY_S, _MAX_DELAY_S = 0.5, 30.0  # before a restart; doubled each time
_STABLE_S = 60.0  # an engine that ran this long did not end because of its models


def supervise_engine(*, log_level: LogLevel) -> Path:
    """Starts the engine process, and returns the path of the socket on which it accepts front ends.

    The socket belongs to this process, so front ends can connect while an engine is starting.
    """
    log.configure(log_level)
    folder = Path(tempfile.mkdtemp(prefix="striate-"))  # private to this user
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "engine"))
    listener.listen(_BACKLOG)
    threading.Thread(target=_run_engines, args=(listener, folder), name="engine", daemon=True).start()
    return folder / "engine"


def _run_engines(listener: socket.socket, folder: Path) -> None:
    """Runs one engine after another. Its standard input closes when this process ends in any way."""
    command = [sys.executable, "-m", "service.engine", str(listener.fileno()), str(folder)]
    start = partial(
        subprocess.Popen, command, stdin=subprocess.PIPE, pass_fds=[listener.fileno()], env=child_environment()
    )
    delay_s = _MIN_DELAY_S
    while True:
        started = time.monotonic()
        try:
            with start() as engine:
                engine.wait()
        except OSError as error:  # for example, no memory for another process
            log.write("error", "engine not started", reason=error.strerror)
        if time.monotonic() - started > _STABLE_S:
            delay_s = _MIN_DELAY_S
        log.write("error", "engine ended", restart_in_s=delay_s)
        time.sleep(delay_s)
        delay_s = min(2 * delay_s, _MAX_DELAY_S)
