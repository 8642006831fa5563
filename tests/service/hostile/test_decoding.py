"""Decoding that does not end: a stopped decoder stands for a file that keeps it busy for hours."""

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from subprocess import Popen

import httpx
import numpy as np
import psutil
import pytest

from service.__main__ import GRACE_S
from service.encode.png_writer import png
from tests.service.image_files import form, grey
from tests.service.service_processes import until
from tests.serving import served

pytestmark = pytest.mark.slow
TIMEOUT_S = 3
SLACK_S = 15  # for a machine that is busy; without the deadline, a stopped decoder would be waited for without end
NOISE = np.random.default_rng(0).integers(0, 256, (1200, 1200), np.uint8)
LARGE, SMALL = png(NOISE), grey(200)
SETTINGS = {"STRIATE_WORKER_THREADS": "2", "STRIATE_DEVICE": "cpu"}
Service = tuple[httpx.Client, Popen[bytes]]


def start(
    root: Path, log: Path, *, timeout_s: int = TIMEOUT_S, within: Sequence[str] = ()
) -> AbstractContextManager[Service]:
    settings = SETTINGS | {"STRIATE_MODELS": str(root), "STRIATE_TIMEOUT_S": str(timeout_s)}
    return served(log, within=within, **settings)


@pytest.fixture(scope="module")
def service(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with start(root, tmp_path_factory.mktemp("service") / "log") as started:
        yield started


def predict(http: httpx.Client, image: bytes, *, timeout_s: float = 60) -> httpx.Response:
    return http.post("/predict", files=form(image), data={"model": "brightness"}, timeout=timeout_s)


def decoders(process: Popen[bytes]) -> list[psutil.Process]:
    """The processes that decode: children of the service's fork servers."""
    family = psutil.Process(process.pid).children(recursive=True)
    servers = [each for each in family if "service.sandbox" in " ".join(each.cmdline()[:4])]
    return [child for server in servers for child in server.children()]


def stop_decoders(http: httpx.Client, process: Popen[bytes]) -> list[psutil.Process]:
    """Suspends the decoders, of which each of the two workers has one by then."""
    deadline = time.monotonic() + 60
    while len(found := decoders(process)) < 2:
        together = [threading.Thread(target=predict, args=(http, LARGE)) for _ in range(4)]
        for thread in together:
            thread.start()
        for thread in together:
            thread.join()
        assert time.monotonic() < deadline
    for decoder in found:
        decoder.suspend()
    return found


def has_ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def wait_for_the_end(http: httpx.Client) -> None:
    with suppress(httpx.TransportError):
        predict(http, LARGE)


def leave_soon(http: httpx.Client) -> None:
    with pytest.raises(httpx.TimeoutException):
        predict(http, LARGE, timeout_s=0.3)


def test_it_ends_at_the_deadline_and_the_next_image_is_answered(service: Service) -> None:
    http, process = service
    stopped = stop_decoders(http, process)
    started = time.monotonic()
    leave_soon(http)
    late = predict(http, LARGE)  # the other worker's
    assert (late.status_code, late.json()["code"]) == (504, "deadline_passed")
    until(lambda: all(map(has_ended, stopped)), timeout_s=SLACK_S)
    assert time.monotonic() - started < TIMEOUT_S + SLACK_S
    for _ in range(4):
        assert predict(http, LARGE).status_code == 200
    assert http.get("/readyz").status_code == 200


def test_small_images_and_probes_are_answered_meanwhile(service: Service) -> None:
    http, process = service
    stop_decoders(http, process)
    leave_soon(http)
    for _ in range(10):
        answer = predict(http, SMALL)
        assert answer.json()["classes"][0]["label"] == "bright"
        assert http.get("/readyz").status_code == http.get("/livez").status_code == 200


def with_grace(grace_s: int) -> Sequence[str]:
    """Runs the `python -m service ...` behind it with this time for requests that are under way at its end."""
    own = f"from service import __main__ as start; start.GRACE_S = {grace_s}"
    return (sys.executable, "-c", f"{own}; import sys; del sys.argv[1:4]; start.main()")


@pytest.mark.parametrize(
    ("leaves", "timeout_s", "grace_s"),
    [
        (True, TIMEOUT_S, GRACE_S),
        (False, TIMEOUT_S, GRACE_S),
        (False, 600, 5),
        pytest.param(False, 600, GRACE_S, marks=pytest.mark.long),
    ],
)
def test_sigterm_ends_the_service_whatever_is_decoded(
    root: Path, tmp_path: Path, leaves: bool, timeout_s: int, grace_s: int
) -> None:
    with start(root, tmp_path / "log", timeout_s=timeout_s, within=with_grace(grace_s)) as (http, process):
        stop_decoders(http, process)
        if leaves:
            leave_soon(http)
            leave_soon(http)
        else:
            threading.Thread(target=wait_for_the_end, args=(http,), daemon=True).start()
            time.sleep(0.3)
        process.terminate()
        process.wait(timeout=min(timeout_s, grace_s) + SLACK_S)
