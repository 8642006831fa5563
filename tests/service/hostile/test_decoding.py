"""Decoding that does not end: a stopped decoder stands for a file that keeps it busy for hours."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import Popen

import httpx
import numpy as np
import psutil
import pytest

from service.__main__ import GRACE_S
from service.encode.png_writer import png
from tests.service.image_files import form, grey
from tests.serving import served

pytestmark = pytest.mark.slow
TIMEOUT_S = 3
NOISE = np.random.default_rng(0).integers(0, 256, (1200, 1200), np.uint8)
LARGE, SMALL = png(NOISE), grey(200)
SETTINGS = {"STRIATE_WORKER_THREADS": "2", "STRIATE_DEVICE": "cpu"}


def predict(http: httpx.Client, image: bytes, *, timeout_s: float = 60) -> httpx.Response:
    return http.post("/predict", files=form(image), data={"model": "brightness"}, timeout=timeout_s)


def decoders(process: Popen[bytes]) -> list[psutil.Process]:
    """The processes that decode: children of the service's fork servers."""
    family = psutil.Process(process.pid).children(recursive=True)
    servers = [each for each in family if "service.sandbox" in " ".join(each.cmdline()[:4])]
    return [child for server in servers for child in server.children()]


@contextmanager
def stuck(
    root: Path, log: Path, *, timeout_s: int = TIMEOUT_S
) -> Iterator[tuple[httpx.Client, Popen[bytes], list[psutil.Process]]]:
    """A service whose decoders, one for each worker, have been stopped."""
    settings = SETTINGS | {"STRIATE_MODELS": str(root), "STRIATE_TIMEOUT_S": str(timeout_s)}
    with served(log, **settings) as (http, process):
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
        yield http, process, found


def wait_for_the_end(http: httpx.Client) -> None:
    with suppress(httpx.TransportError):
        predict(http, LARGE)


def leave_soon(http: httpx.Client) -> None:
    with pytest.raises(httpx.TimeoutException):
        predict(http, LARGE, timeout_s=0.3)


def test_it_ends_at_the_deadline_and_the_next_image_is_answered(root: Path, tmp_path: Path) -> None:
    with stuck(root, tmp_path / "log") as (http, _, stopped):
        started = time.monotonic()
        late = predict(http, LARGE)
        assert (late.status_code, late.json()["code"]) == (504, "deadline_passed")
        assert time.monotonic() - started < TIMEOUT_S + 2
        leave_soon(http)  # the other worker's
        time.sleep(TIMEOUT_S + 1)
        assert [each for each in stopped if each.is_running() and each.status() != psutil.STATUS_ZOMBIE] == []
        for _ in range(4):
            assert predict(http, LARGE).status_code == 200
        assert http.get("/readyz").status_code == 200


def test_small_images_and_probes_are_answered_meanwhile(root: Path, tmp_path: Path) -> None:
    with stuck(root, tmp_path / "log") as (http, _, _):
        leave_soon(http)
        for _ in range(10):
            answer = predict(http, SMALL)
            assert answer.json()["classes"][0]["label"] == "bright"
            assert http.get("/readyz").status_code == http.get("/livez").status_code == 200


@pytest.mark.parametrize(("leaves", "timeout_s"), [(True, TIMEOUT_S), (False, TIMEOUT_S), (False, 600)])
def test_sigterm_ends_the_service_whatever_is_decoded(root: Path, tmp_path: Path, leaves: bool, timeout_s: int) -> None:
    with stuck(root, tmp_path / "log", timeout_s=timeout_s) as (http, process, _):
        if leaves:
            leave_soon(http)
            leave_soon(http)
        else:
            threading.Thread(target=wait_for_the_end, args=(http,), daemon=True).start()
            time.sleep(0.3)
        process.terminate()
        process.wait(timeout=min(timeout_s, GRACE_S) + 5)
