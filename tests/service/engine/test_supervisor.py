"""Tests of `python -m service` with two front ends: a killed engine, a killed front end, and a stop."""

import signal
import stat
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from tests.service.service_processes import answer, children, engines, readiness, suspended, until
from tests.serving import request_anew, served

pytestmark = pytest.mark.slow


@pytest.fixture
def temporary() -> Iterator[Path]:
    """Creates a temporary folder with a name that is short enough for a socket."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def remaining_files(temporary: Path) -> list[Path]:
    return list(temporary.glob("striate-*"))


def inferred(http: httpx.Client) -> int:
    """Returns the inference count over a new connection, from any front end; 0 while it is not ready."""
    got = request_anew("GET", http.base_url.join("/v2/models/brightness/stats"))
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
            assert request_anew("GET", http.base_url.join("/livez")).status_code == 200
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
