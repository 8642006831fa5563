"""More silent callers than the service may open files: probes and real requests go on beside them."""

import time
from contextlib import ExitStack
from itertools import chain
from pathlib import Path

import httpx
import pytest

from tests.service.faults.callers import callers
from tests.service.hostile.raw_callers import call, post, small_is_right
from tests.service.image_files import grey
from tests.service.service_processes import children, until
from tests.serving import served

pytestmark = pytest.mark.slow
FILES, CALLERS = 256, 300
GET = b"GET /models HTTP/1.1\r\nHost: striate\r\n\r\n"
LARGE = grey(9, height=700, width=700)
SENT = {
    "nothing": [b""],
    "half a body": [post("/predict?model=brightness", b"half", declared=100_000)],
    "an administrative body": [post("/v2/repository/index", b"", declared=10)],
    "the rest": [
        b"POST /predict HTTP/1.1\r\nHos",
        post("/v2/models/brightness/infer", b"{", declared=100_000),
        post("/v2/repository/models/brightness/load", b"{", declared=10),
        post("/nothing", b"", declared=100_000),
        GET,
        5 * GET + GET[:20],
    ],
}
UNREAD = {"a large answer": [post("/segment?model=blobs&format=probabilities", LARGE)]}


def test_probes_and_requests_go_on_beside_more_silent_callers_than_files(root: Path, tmp_path: Path) -> None:
    within = ["prlimit", f"--nofile={FILES}:{FILES}"]
    with served(tmp_path / "log", within=within, STRIATE_MODELS=str(root)) as (http, process):
        (worker,) = children(process, "_bentoml_impl.worker.service")
        before, url = worker.num_fds(), http.base_url
        for what, sent in (SENT | UNREAD).items():
            with ExitStack() as held, callers(url, count=2) as told:
                for n in range(CALLERS):
                    call(url, sent[n % len(sent)], held)
                for path in ("/livez", "/readyz", "/metrics"):
                    assert httpx.get(url.join(path), timeout=60).status_code == 200, what
                assert small_is_right(url), what
                assert worker.num_fds() < FILES
                until(lambda: told.right > 0)
            assert (told.errors, told.wrong, told.lost) == ([], [], []), what
        until(lambda: worker.num_fds() < before + 10)
    assert "unhandled exception" not in (tmp_path / "log").read_text()


def test_every_silent_caller_is_ended_in_time(root: Path, tmp_path: Path) -> None:
    """Fewer than there may be, so that none has to make room."""
    with (
        served(tmp_path / "log", STRIATE_MODELS=str(root), STRIATE_TIMEOUT_S="10") as (http, process),
        ExitStack() as held,
    ):
        (worker,) = children(process, "_bentoml_impl.worker.service")
        before = len(worker.net_connections("tcp"))
        for sent in chain.from_iterable(SENT.values()):
            for _ in range(5):
                call(http.base_url, sent, held)
        started = time.monotonic()
        until(lambda: len(worker.net_connections("tcp")) <= before)
        assert time.monotonic() - started < 60  # the deadline of 10 s, 15 s for a head, 5 s for the rest
