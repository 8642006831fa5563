"""Jobs for a limited child process, each by its name in the request."""

import errno
import os
import resource
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.errors import PackageError
from service.sandbox.json_channel import Channel
from service.sandbox.limited_job import Report, answer


def main(channel: Channel) -> None:
    answer(channel, work)


def fill_memory() -> dict[str, Any]:
    return {"bytes": len(bytearray(2**31))}


def exceed_stack() -> dict[str, Any]:
    return exceed_stack()


def fail(error: Exception) -> dict[str, Any]:
    raise error


def spin() -> dict[str, Any]:
    while True:
        pass


def crash() -> dict[str, Any]:
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGSEGV)
    return {}


def leave_a_file() -> dict[str, Any]:
    path = Path(tempfile.mkdtemp()) / "left"
    path.touch()
    return {"path": str(path)}


def facts() -> dict[str, Any]:
    return {
        "nice": os.nice(0),
        "oom_score": int(Path("/proc/self/oom_score_adj").read_text()),
        "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
        "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    }


JOBS: dict[str, Callable[[], dict[str, Any]]] = {
    "facts": facts,
    "fill_memory": fill_memory,
    "exceed_stack": exceed_stack,
    "refuse": lambda: fail(PackageError("It is\nwrong. " + "x" * 1000)),
    "refuse_no_text": lambda: fail(PackageError("It has \udcff.")),
    "no_files": lambda: fail(OSError(errno.EMFILE, os.strerror(errno.EMFILE))),
    "surprise": lambda: fail(ZeroDivisionError()),
    "sleep": lambda: time.sleep(600) or {},  # type: ignore[func-returns-value]
    "spin": spin,
    "crash": crash,
    "exit": lambda: os._exit(3),
    "leave_a_file": leave_a_file,
}


def work(request: dict[str, Any], report: Report) -> dict[str, Any]:
    report("working")
    return JOBS[request["do"]]()
