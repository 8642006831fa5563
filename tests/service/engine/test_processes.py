"""The real thing: `python -m service` with two front ends, its engine killed and the whole of it stopped."""

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
    """Those of a process that run a module."""
    return [child for child in psutil.Process(process.pid).children() if runs(child, module)]


def runs(process: psutil.Process, module: str) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and module in process.cmdline()
    except psutil.NoSuchProcess:  # it ended since it was listed
        return False


def engines(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return children(process, "service.engine")


@contextmanager
def stopped(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Without the parent of all, which starts again what has ended, while the block runs."""
    parent = psutil.Process(process.pid)
    parent.suspend()
    try:
        yield
    finally:
        parent.resume()


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder for what processes leave; its name is short enough for a socket's."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def left(temporary: Path) -> list[Path]:
    return list(temporary.glob("striate-*"))


def readiness(http: httpx.Client) -> int:
    """As of the front end that this new connection reaches."""
    return httpx.get(http.base_url.join("/readyz"), timeout=120).status_code


def answer(http: httpx.Client, value: int) -> tuple[int, str]:
    """The status, and the class or the error's code; each time over a connection of its own."""
    got = httpx.post(http.base_url.join("/predict"), files=form(grey(value)), timeout=120)
    body = got.json()
    return got.status_code, body["classes"][0]["label"] if got.status_code == 200 else body["code"]


def inferred(http: httpx.Client) -> int:
    """Images that the front end which this new connection reaches says were answered; 0 while it is not ready."""
    got = httpx.get(http.base_url.join("/v2/models/brightness/stats"), timeout=120)
    return got.json()["model_stats"][0]["inference_count"] if got.status_code == 200 else 0


def test_two_front_ends_answer_and_outlive_their_engine(root: Path, tmp_path: Path, temporary: Path) -> None:
    log = tmp_path / "log"
    variables = {"STRIATE_MODELS": str(root), "STRIATE_FRONT_ENDS": "2", "TMPDIR": str(temporary)}
    variables["BENTOML_CONTAINERIZED"] = "true"  # as in the image, where BentoML by itself starts no front end again
    with served(log, **variables) as (http, process):
        (engine,) = engines(process)
        assert {stat.S_IMODE(folder.stat().st_mode) for folder in left(temporary)} == {0o700}
        shared = [mapped.path for mapped in engine.memory_maps() if "striate" in mapped.path or "shm" in mapped.path]
        assert set(shared) == {"/memfd:striate"}  # no name, so nothing that could stay
        front_ends = children(process, "_bentoml_impl.worker.service")
        assert len(front_ends) == 2
        until(lambda: log.read_text().count('"event":"ready"') == 2)
        with ThreadPoolExecutor(8) as callers:
            values = [10, 240] * 50
            answers = list(callers.map(lambda value: answer(http, value), values))
        assert answers == [(200, "dark" if value == 10 else "bright") for value in values]
        until(lambda: [inferred(http) for _ in range(8)] == 8 * [len(values)])  # each writes within 2 s

        with stopped(process):  # so that no other engine comes before it has been seen that this one went
            engine.kill()
            until(lambda: [readiness(http) for _ in range(8)] == 8 * [503])
            assert answer(http, 240) == (503, "not_ready")
            assert httpx.get(http.base_url.join("/livez"), timeout=120).status_code == 200
        until(lambda: [readiness(http) for _ in range(8)] == 8 * [200])
        assert answer(http, 240) == (200, "bright")
        (next_engine,) = engines(process)
        assert next_engine.pid != engine.pid

        until(lambda: [inferred(http) for _ in range(8)] == 8 * [len(values) + 1])
        front_ends[0].kill()  # its memory goes with it; the other goes on, and there are two again
        until(lambda: len(set(children(process, "_bentoml_impl.worker.service")) - {front_ends[0]}) == 2)
        assert answer(http, 10) == (200, "dark")
        until(lambda: [inferred(http) for _ in range(8)] == 8 * [len(values) + 2])  # it took over what was counted

        processes = psutil.Process(process.pid).children(recursive=True)
        for each in processes:  # as systemd and a terminal do
            each.send_signal(signal.SIGTERM)
        process.terminate()
        assert process.wait(timeout=120) == 0
        assert psutil.wait_procs(processes, timeout=120)[1] == []
    printed = log.read_text()
    assert printed.count("Ready at http") == 1
    assert printed.count('"event":"model loaded"') == 2 * 3  # three models by each of two engines
    assert "Traceback" not in printed
    assert "Warning" not in printed
    assert left(temporary) == []


def test_nothing_is_left_of_a_service_that_was_killed(root: Path, tmp_path: Path, temporary: Path) -> None:
    variables = {"STRIATE_MODELS": str(root), "STRIATE_FRONT_ENDS": "2", "TMPDIR": str(temporary)}
    with served(tmp_path / "log", **variables) as (_, process):
        processes = psutil.Process(process.pid).children(recursive=True)
        assert len(left(temporary)) == 1
        process.kill()
        process.wait(timeout=120)
        assert psutil.wait_procs(processes, timeout=120)[1] == []  # a front end alone would answer 503 for ever
        assert left(temporary) == []
