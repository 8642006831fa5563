"""Tests of `python -m service` while its models change again and again under 16 concurrent callers."""

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from statistics import median

import httpx
import psutil
import pytest

from tests.service.image_files import form, grey
from tests.service.repository.versions import LABELS, write_version
from tests.service.service_processes import until
from tests.serving import request_anew, served

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
CALLERS = 16
MOST_GROWTH = 1.05


def send_requests(http: httpx.Client, stop: threading.Event) -> list[tuple[int, str, str, int]]:
    """Sends requests until stopped; returns status, version, label and the sent value of each."""
    answers = []
    with httpx.Client(base_url=http.base_url, timeout=120, verify=False) as own:
        while not stop.is_set():
            for value in (100, 200):
                got = own.post("/predict", files=form(grey(value)))
                body = got.json()
                found = (
                    (body["model"]["version"], body["classes"][0]["label"])
                    if got.status_code == 200
                    else (got.text, "")
                )
                answers.append((got.status_code, *found, value))
    return answers


@contextmanager
def concurrent_callers(http: httpx.Client, answers: list[tuple[int, str, str, int]]) -> Iterator[None]:
    """Runs concurrent callers while the block runs."""
    stop = threading.Event()
    with ThreadPoolExecutor(CALLERS) as threads:
        callers = [threads.submit(send_requests, http, stop) for _ in range(CALLERS)]
        try:
            yield
        finally:
            stop.set()
        for caller in callers:
            answers.extend(caller.result())


def is_served_everywhere(http: httpx.Client, digest: str) -> bool:
    """Returns whether eight new connections, spread over the front ends, all find this package serving."""
    return all(serving(http) == digest for _ in range(8))


def serving(http: httpx.Client) -> str:
    """Returns the digest of the served package."""
    got = request_anew("GET", http.base_url.join("/models/brightness"))
    assert (got.status_code, got.json().get("status")) == (200, "ready"), got.text
    return got.json()["sha256"]


def pss_bytes(pid: int) -> int:
    root = psutil.Process(pid)
    total = 0
    for each in (root, *root.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # a package's proof, which has ended
            total += each.memory_full_info().pss
    return total


@pytest.mark.parametrize("swaps", [10, pytest.param(20, marks=pytest.mark.long)])
@pytest.mark.parametrize("front_ends", [1, 2])
def test_swaps_lose_no_response_and_no_memory(tmp_path: Path, front_ends: int, swaps: int) -> None:
    models = tmp_path / "models"
    write_version(models, "1.0")
    answers: list[tuple[int, str, str, int]] = []
    variables = {"STRIATE_MODELS": str(models), "STRIATE_FRONT_ENDS": str(front_ends), "STRIATE_LOG_LEVEL": "info"}
    with served(tmp_path / "log", **variables, STRIATE_DEVICE="cpu") as (http, process):
        used = []
        for n in range(1, swaps + 1):
            with concurrent_callers(http, answers):
                package = write_version(models, "1.0", like=("1.0", "2.0")[n % 2])  # the same number, another network
                until(partial(is_served_everywhere, http, package.sha256))
            used.append(pss_bytes(process.pid))
    assert {status for status, *_ in answers} == {200}, [each for each in answers if each[0] != 200][:3]
    known = {(value, LABELS[like][value]) for like in ("1.0", "2.0") for value in (100, 200)}
    assert {(value, label) for _, _, label, value in answers} == known
    assert len(answers) > swaps * CALLERS
    first, last = median(used[swaps // 4 : swaps // 2]), median(used[-swaps // 4 :])
    report = "MiB after each swap: " + " ".join(f"{each / 2**20:.0f}" for each in used)
    logging.getLogger(__name__).info(report)  # pytest --log-cli-level=info shows it
    assert last <= MOST_GROWTH * first, report
    assert "Traceback" not in (tmp_path / "log").read_text()
