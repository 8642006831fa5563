"""Jobs on a stranger's files: one function in a child process, with limits of time, memory and what it writes."""

import atexit
import math
import os
import resource
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from models.errors import PackageError
from service.sandbox.fork_server import Child, ForkServer
from service.sandbox.json_channel import Channel
from service.sandbox.peak_memory import address_space_bytes

Report = Callable[[str], None]
Job = Callable[[dict[str, Any], Report], dict[str, Any]]
_REASON_CHARACTERS = 300
_NO_THREAD = "can't start new thread"  # for want of memory
_FILES, _FILE_BYTES = 64, 2**32
_NICE = 5  # requests come first
_POLL_S = 0.25  # between two looks at whether a job has been cancelled


@dataclass(frozen=True, slots=True)
class Limits:
    """spent_s: the part of the time that an earlier try has taken; a second is always left."""

    timeout_s: float
    memory_bytes: int
    spent_s: float = 0.0


class JobCancelled(PackageError):
    def __init__(self) -> None:
        super().__init__("Its proof was cancelled.")


class JobTooLarge(PackageError):
    """It took all the memory that it might, or the process ended, perhaps for want of memory."""


def run_job(
    module: str,
    request: Mapping[str, Any],
    *,
    limits: Limits,
    cancelled: threading.Event | None = None,
) -> dict[str, Any]:
    """Runs a job in a child, and returns its result. module: one whose `main` calls `answer`.

    Raises PackageError with what the job raised, or with how the child ended; SandboxFailed.
    """
    cancelled = cancelled or threading.Event()
    if cancelled.is_set():
        raise JobCancelled
    with tempfile.TemporaryDirectory(prefix="striate-", ignore_cleanup_errors=True) as workspace:
        child = fork_server(module).start(f"{module}:main")
        try:
            own = {"timeout_s": limits.timeout_s, "memory_bytes": limits.memory_bytes, "workspace": workspace}
            with suppress(OSError):  # it has ended already, which _result finds
                child.channel.send({"request": dict(request), "limits": own})
            return _result(child, limits, cancelled)
        finally:
            child.end()


@cache
def fork_server(module: str) -> ForkServer:
    """Returns the server of this process's children for a module's job; the first one starts it."""
    server = ForkServer(module)
    atexit.register(server.close)
    return server


def answer(channel: Channel, job: Job) -> None:
    """Runs the job in this child, under the limits that came with the request, and sends what came of it."""
    message, _ = channel.receive()
    limits = message["limits"]
    tempfile.tempdir = limits["workspace"]  # which the service removes, however this process ends
    _limit(timeout_s=limits["timeout_s"], memory_bytes=limits["memory_bytes"])
    channel.send(_outcome(job, message["request"], lambda stage: channel.send({"stage": stage})))


def _outcome(job: Job, request: dict[str, Any], report: Report) -> dict[str, Any]:
    try:
        return {"result": job(request, report)}
    except MemoryError:
        return {"too_large": True}
    except Exception as error:  # noqa: BLE001  whatever a stranger's files cause refuses them alone
        if str(error) == _NO_THREAD:
            return {"too_large": True}
        cause = error.__cause__ or error
        errno = cause.errno if isinstance(cause, OSError) else 0
        return {"refused": _short(str(error) or type(error).__name__), "errno": errno or 0}


def _limit(*, timeout_s: float, memory_bytes: int) -> None:
    own = address_space_bytes()
    seconds = math.ceil(timeout_s) + 1
    for which, limit in (
        (resource.RLIMIT_AS, own + memory_bytes),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_NOFILE, _FILES),
        (resource.RLIMIT_FSIZE, _FILE_BYTES),
    ):
        hard = resource.getrlimit(which)[1]
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(which, (limit, limit))
    os.nice(_NICE)
    with suppress(OSError):  # where memory runs out, this process ends, and not the one that serves
        Path("/proc/self/oom_score_adj").write_text("1000")


def _result(child: Child, limits: Limits, cancelled: threading.Event) -> dict[str, Any]:
    """Waits for the child's outcome. Raises PackageError."""
    stage, ends_at = "starting", time.monotonic() + max(1.0, limits.timeout_s - limits.spent_s)
    while True:
        try:
            message = _next_message(child, ends_at, cancelled)
        except TimeoutError:
            raise PackageError(f"It was not proved within {limits.timeout_s:g} s: {stage} did not end.") from None
        except EOFError as error:
            raise JobTooLarge(f"It ended the process that proved it, while {stage}: {_ending(child.end())}.") from error
        if isinstance(result := message.get("result"), dict):
            return result
        if "too_large" in message:
            raise JobTooLarge(f"It needs more than {limits.memory_bytes // 2**20:,} MiB of memory to be proved.")
        if "refused" in message:
            raise PackageError(_short(str(message["refused"]))) from _cause(message.get("errno"))
        stage = _short(str(message.get("stage")))


def _next_message(child: Child, ends_at: float, cancelled: threading.Event) -> dict[str, Any]:
    """Raises TimeoutError, EOFError, JobCancelled."""
    while (left_s := ends_at - time.monotonic()) > 0:
        if cancelled.is_set():
            raise JobCancelled
        with suppress(TimeoutError):
            message, descriptors = child.channel.receive(timeout_s=min(left_s, _POLL_S))
            for descriptor in descriptors:
                os.close(descriptor)
            return message
    raise TimeoutError


def _cause(errno: object) -> OSError | None:
    """Returns the error of the child's system, by which a lack of the machine is told from a fault of the package."""
    return OSError(errno, os.strerror(errno)) if isinstance(errno, int) and errno > 0 else None


def _ending(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    names = {number.value: number.name for number in signal.Signals}
    return f"signal {names.get(-status, -status)}"


def _short(text: str) -> str:
    """Returns its beginning in one line, and as text: a stranger's names may be none."""
    return " ".join(text.split()).encode(errors="backslashreplace").decode()[:_REASON_CHARACTERS]
