"""Callers who make the service hold much for little: answers that nobody takes, and bodies that inflate."""

import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from tests.service.faults.callers import callers
from tests.service.hostile.raw_callers import call, post, small_is_right, status, takes_a_body_of
from tests.service.image_files import grey
from tests.service.service_processes import children, until
from tests.serving import served

pytestmark = pytest.mark.slow
MIB = 2**20
ROOM_FOR_IMAGES, ROOM_FOR_A_BODY = 256 * MIB, 64 * MIB
CALLERS = 60
SIDE = 2048
ANSWER = 4 * SIDE * SIDE
# Beside the budget: an answer of each worker's that has no room, what the allocator keeps.
BESIDE = 160 * MIB
CAM = post("/cam?model=brightness&format=raw", grey(100, height=SIDE, width=SIDE))
INFLATES = post(
    "/v2/models/brightness/infer", zlib.compress(bytes(63 * MIB)), headers="Content-Encoding: deflate"
)  # 64 KB
WIDE = f'{{"x":"{"a" * 50 * MIB}\N{GRINNING FACE}"}}'.encode()  # four bytes for each of its characters in Python
WIDENS = post("/v2/models/brightness/infer", zlib.compress(WIDE), headers="Content-Encoding: deflate")


@dataclass
class Highest:
    """The most memory that a process had, beyond what it had at first."""

    nbytes: int = 0


@contextmanager
def watched(process: psutil.Process) -> Iterator[Highest]:
    highest, first, ended = Highest(), process.memory_info().rss, threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            highest.nbytes = max(highest.nbytes, process.memory_info().rss - first)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield highest
    finally:
        ended.set()
        thread.join()


@contextmanager
def service(root: Path, log: Path, budget: int) -> Iterator[tuple[httpx.URL, psutil.Process]]:
    variables = {"STRIATE_MODELS": str(root), "STRIATE_IMAGE_BYTES": str(budget), "STRIATE_WORKER_THREADS": "2"}
    variables |= {"STRIATE_TIMEOUT_S": "12", "STRIATE_MAX_UPLOAD_BYTES": str(budget)}
    with served(log, **variables) as (http, process):
        (worker,) = children(process, "_bentoml_impl.worker.service")
        assert small_is_right(http.base_url)
        yield http.base_url, worker
        assert "unhandled exception" not in log.read_text()


def test_answers_that_nobody_takes_stay_within_the_budget(root: Path, tmp_path: Path) -> None:
    with service(root, tmp_path / "log", ROOM_FOR_IMAGES) as (url, worker):
        with ExitStack() as held, watched(worker) as highest, callers(url, count=1) as told:
            asked = [call(url, CAM, held) for _ in range(CALLERS)]  # all at once
            answers = Counter(map(status, asked))
        assert answers.keys() == {200, 503}
        assert 5 <= answers[200] < ROOM_FOR_IMAGES // ANSWER
        assert highest.nbytes < ROOM_FOR_IMAGES + BESIDE
        assert told.right > 0
        assert told.errors == told.wrong == told.lost == []
        until(lambda: takes_a_body_of(url, ROOM_FOR_IMAGES), timeout_s=30)


@pytest.mark.parametrize(
    ("body", "room", "count"),
    [(INFLATES, ROOM_FOR_A_BODY, CALLERS), (WIDENS, ROOM_FOR_IMAGES, 12)],
    ids=["no JSON", "wide strings"],
)
def test_bodies_that_inflate_stay_within_the_budget(
    root: Path, tmp_path: Path, body: bytes, room: int, count: int
) -> None:
    with service(root, tmp_path / "log", room) as (url, worker):
        with ExitStack() as held, watched(worker) as highest, callers(url, count=1) as told:
            asking = [call(url, body, held) for _ in range(count)]
            answers = Counter(status(each) for each in asking)
            time.sleep(0.1)
        assert set(answers) <= {400, 413, 503}
        assert answers[400] + answers[413] > 0  # one at a time has its room, and is no request
        assert highest.nbytes < room + BESIDE
        assert told.right > 0
        assert told.errors == told.wrong == told.lost == []
        until(lambda: takes_a_body_of(url, room), timeout_s=30)
