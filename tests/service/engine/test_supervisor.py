"""Tests of `python -m service` with two front ends: a killed engine, a killed front end, and a stop."""

import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from tests.service.image_files import form, grey
from tests.service.test_main import served

pytestmark = pytest.mark.slow


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


@pytest.fixture
def temporary() -> Iterator[Path]:
    """Creates a temporary folder with a name that is short enough for a socket."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def remaining_files(temporary: Path) -> list[Path]:
    return list(temporary.glob("striate-*"))


def readiness(http: httpx.Client) -> int:
    """Returns the status of /readyz over a new connection, from any front end."""
    return httpx.get(http.base_url.join("/readyz"), timeout=120).status_code


def answer(http: httpx.Client, value: int) -> tuple[int, str]:
    """Predicts over a new connection; returns the status, and the class or the error's code."""
    got = httpx.post(http.base_url.join("/predict"), files=form(grey(value)), timeout=120)
    body = got.json()
    return got.status_code, body["classes"][0]["label"] if got.status_code == 200 else body["code"]


def inferred(http: httpx.Client) -> int:
    """Returns the inference count over a new connection, from any front end; 0 while it is not ready."""
    got = httpx.get(http.base_url.join("/v2/models/brightness/stats"), timeout=120)
    return got.json()["model_stats"][0]["inference_count"] if got.status_code == 200 else 0


def test_two_front_ends_answer_and_outlive_their_engine(root: Path, tmp_path: Path, temporary: Path) -> None:
    log = tmp_path / "log"
    variables = {"STRIATE_MODELS": str(root), "STRIATE_FRONT_ENDS": "2", "TMPDIR": str(temporary)}
    variables["BENTOML_CONTAINERIZED"] = "true"  # as in the image, where BentoML does not restart front ends by itself
    with served(log, **variables) as (http, process):
        (engine,) = engines(process)
        assert {stat.S_IMODE(folder.stat().st_mode) for folder in remaining_files(temporary)} == {0o700}
        shared = [mapped.path for mapped in engine.memory_maps() if "striate" in mapped.path or "shm" in mapped.path]
        assert set(shared) == {"/memfd:striate"}  # it has no name, so nothing can remain
        front_ends = children(process, "_bentoml_impl.worker.service")
        assert len(front_ends) == 2
        until(lambda: log.read_text().count('"event":"ready"') == 2)
        with ThreadPoolExecutor(8) as callers:
            values = [10, 240] * 50
            answers = list(callers.map(lambda value: answer(http, value), values))
        assert answers == [(200, "dark" if value == 10 else "bright") for value in values]
        until(lambda: [inferred(http) for _ in range(8)] == 8 * [len(values)])  # each writes within 2 s

        with suspended(process):  # so that no new engine starts before the loss is observed
            engine.kill()
            until(lambda: [readiness(http) for _ in range(8)] == 8 * [503])
            assert answer(http, 240) == (503, "not_ready")
            assert httpx.get(http.base_url.join("/livez"), timeout=120).status_code == 200
        until(lambda: [readiness(http) for _ in range(8)] == 8 * [200])
        assert answer(http, 240) == (200, "bright")
        (next_engine,) = engines(process)
        assert next_engine.pid != engine.pid

        until(lambda: [inferred(http) for _ in range(8)] == 8 * [len(values) + 1])
        front_ends[0].kill()  # the other one continues, and this one is restarted
        until(lambda: len(set(children(process, "_bentoml_impl.worker.service")) - {front_ends[0]}) == 2)
        assert answer(http, 10) == (200, "dark")
        until(
            lambda: [inferred(http) for _ in range(8)] == 8 * [len(values) + 2]
        )  # the replacement continues the counts

        processes = psutil.Process(process.pid).children(recursive=True)
        for each in processes:  # as systemd and a terminal do
            each.send_signal(signal.SIGTERM)
        process.terminate()
        assert process.wait(timeout=120) == 0
        assert psutil.wait_procs(processes, timeout=120)[1] == []
    printed = log.read_text()
    assert printed.count("Ready at http") == 1
    assert printed.count('"event":"model loaded"') == 2 * 3  # three models in each of two engines
    assert "Traceback" not in printed
    assert "Warning" not in printed
    assert remaining_files(temporary) == []


def test_a_killed_service_leaves_no_process_and_no_file(root: Path, tmp_path: Path, temporary: Path) -> None:
    variables = {"STRIATE_MODELS": str(root), "STRIATE_FRONT_ENDS": "2", "TMPDIR": str(temporary)}
    with served(tmp_path / "log", **variables) as (_, process):
        processes = psutil.Process(process.pid).children(recursive=True)
        assert len(remaining_files(temporary)) == 1
        process.kill()
        process.wait(timeout=120)
        assert psutil.wait_procs(processes, timeout=120)[1] == []  # a remaining front end would answer 503 forever
        assert remaining_files(temporary) == []
