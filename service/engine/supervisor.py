"""What the parent of all processes does: it listens for the engine, starts it, and starts it again when it ends."""

import atexit
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

from service.telemetry.log import Level, log

_ROOT = Path(__file__).parents[2]
_BACKLOG = 1024
_FIRST_S, _LONGEST_S = 0.5, 30.0  # before an engine that ended is started again; each time twice as long
_SOUND_S = 60.0  # an engine that ran so long did not end over what it loads


def keep_engine(*, log_level: Level) -> Path:
    """Starts the engine process; the path of the socket on which it takes front ends in.

    The socket is this process's, so front ends may connect before an engine listens, or while the next one loads.
    """
    log.configure(log_level)
    folder = Path(tempfile.mkdtemp(prefix="striate-"))  # nobody else may enter it
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "engine"))
    listener.listen(_BACKLOG)
    threading.Thread(target=_keep, args=(listener, folder), name="engine", daemon=True).start()
    return folder / "engine"


def _keep(listener: socket.socket, folder: Path) -> None:
    """Runs one engine after another. Its standard input ends when this process does, however that ends."""
    command = [sys.executable, "-m", "service.engine", str(listener.fileno()), str(folder)]
    search = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": search}
    start = partial(subprocess.Popen, command, stdin=subprocess.PIPE, pass_fds=[listener.fileno()], env=environment)
    delay_s = _FIRST_S
    while True:
        started = time.monotonic()
        try:
            with start() as engine:
                engine.wait()
        except OSError as error:  # no memory for another process, for now
            log.write("error", "engine cannot start", reason=error.strerror)
        if time.monotonic() - started > _SOUND_S:
            delay_s = _FIRST_S
        log.write("error", "engine ended", again_in_s=delay_s)
        time.sleep(delay_s)
        delay_s = min(2 * delay_s, _LONGEST_S)
