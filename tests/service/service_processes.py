"""Processes of a running service: found, suspended and asked from outside."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import psutil

from tests.service.image_files import form, grey
from tests.serving import request_anew


def until(happened: Callable[[], bool], *, timeout_s: float = 120.0) -> None:
    end = time.monotonic() + timeout_s
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.02)


def children(process: subprocess.Popen[bytes], module: str) -> list[psutil.Process]:
    """Returns the children of a process that run a module."""
    return [child for child in psutil.Process(process.pid).children() if runs(child, module)]


def runs(process: psutil.Process, module: str) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and module in process.cmdline()
    except psutil.NoSuchProcess:  # it has ended meanwhile
        return False


def engines(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return children(process, "service.engine")


@contextmanager
def suspended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Suspends the parent process, which restarts others, while the block runs."""
    parent = psutil.Process(process.pid)
    parent.suspend()
    try:
        yield
    finally:
        parent.resume()


def readiness(http: httpx.Client) -> int:
    """Returns the status of /readyz over a new connection, from any front end."""
    return request_anew("GET", http.base_url.join("/readyz")).status_code


def answer(http: httpx.Client, value: int) -> tuple[int, str]:
    """Predicts over a new connection; returns the status, and the class or the error's code."""
    got = request_anew("POST", http.base_url.join("/predict"), files=form(grey(value)))
    body = got.json()
    return got.status_code, body["classes"][0]["label"] if got.status_code == 200 else body["code"]
