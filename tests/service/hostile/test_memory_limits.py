"""Limits of memory as a container has them: what is admitted fits, and nothing is ever killed."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from random import Random

import httpx
import numpy as np
import psutil
import pytest

from models.decode import decode
from models.image import Array
from service.encode.png_writer import png
from tests.service.memory_groups import memory_group
from tests.serving import served

pytestmark = pytest.mark.slow
MIB = 2**20
STARTER = Path(__file__).parents[3] / "models" / "starter"
NUCLEI, CHEST = "/segment?model=nuclei", "/predict?model=pneumonia"
QUESTIONS = (NUCLEI, NUCLEI + "&format=probabilities", NUCLEI + "&format=overlay", CHEST, "/cam?model=pneumonia")
LATER, NEVER = (503, "memory_full"), (413, "image_too_large")
SIDES = (64, 256, 600, 1000, 1400, 2000, 2500, 3000, 4000, 5000, 7000)


def blobs(side: int) -> Array:
    """Bright squares on a dark ground with noise, (side, side) uint8."""
    y, x = np.mgrid[:side, :side]
    ground = np.random.default_rng(side).integers(20, 40, (side, side), np.uint8)
    return np.where((x // 14 % 3 == 0) & (y // 12 % 3 == 0), 200, ground).astype(np.uint8)


def answers(url: httpx.URL, asked: Iterator[tuple[str, bytes]], *, callers: int) -> Counter[tuple[int, str]]:
    """Asks everything, a caller at a time each; returns how often which status and code came."""
    told: Counter[tuple[int, str]] = Counter()
    lock = threading.Lock()

    def call() -> None:
        with httpx.Client(base_url=url, timeout=900) as http:
            while True:
                with lock:
                    path, content = next(asked, ("", b""))
                if not path:
                    return
                answer = http.post(path, content=content, headers={"content-type": "image/png"})
                code = answer.headers.get("x-striate-error", "")
                assert (code == "memory_full") == ("retry-after" in answer.headers)
                with lock:
                    told[answer.status_code, code] += 1

    threads = [threading.Thread(target=call) for _ in range(callers)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return told


def questions(sides: Sequence[int], *, times: int) -> Iterator[tuple[str, bytes]]:
    """Every question about every size, in random order."""
    files = {side: png(blobs(side)) for side in sides}
    asked = times * [*product(QUESTIONS, sides)]
    Random(0).shuffle(asked)
    return iter([(path, files[side]) for path, side in asked])


@pytest.mark.parametrize(
    ("mib", "callers", "sides", "times"),
    [
        (1024, 32, (64, 256, 400, 5000), 1),
        *(
            pytest.param(mib, callers, SIDES, 1 + callers // 16, marks=pytest.mark.long)
            for mib, callers in product((1024, 2048, 3072), (1, 4, 32))
        ),
    ],
)
def test_whatever_is_asked_within_a_limit_nothing_is_killed(
    tmp_path: Path, mib: int, callers: int, sides: Sequence[int], times: int
) -> None:
    with memory_group(mib * MIB) as group:
        variables = {"STRIATE_MODELS": str(STARTER), "STRIATE_TIMEOUT_S": "600", "STRIATE_DEVICE": "cpu"}
        with served(tmp_path / "log", within=group.command, STRIATE_WANTED="nuclei", **variables) as (http, process):
            family = {process.pid, *(each.pid for each in psutil.Process(process.pid).children())}
            asked = questions(sides, times=times)
            told = answers(http.base_url, asked, callers=callers)
            assert told.keys() <= {(200, ""), LATER, NEVER}, told
            assert told[200, ""] >= 2 * len(QUESTIONS), told
            assert all(psutil.pid_exists(pid) for pid in family)
            assert http.post(CHEST, content=png(blobs(64)), headers={"content-type": "image/png"}).status_code == 200
        assert group.kills == 0
        assert group.peak_bytes < mib * MIB


def test_with_little_memory_the_same_objects_are_found(tmp_path: Path) -> None:
    """In more and smaller tiles."""
    found = []
    for mib in (1024, 16_384):
        with memory_group(mib * MIB) as group:
            variables = {"STRIATE_MODELS": str(STARTER), "STRIATE_TIMEOUT_S": "600", "STRIATE_DEVICE": "cpu"}
            with served(tmp_path / "log", within=group.command, STRIATE_WANTED="nuclei", **variables) as (http, _):
                answer = http.post(NUCLEI, content=png(blobs(450)), headers={"content-type": "image/png"})
                found.append(decode(answer.content, max_pixels=450**2).pixels)
            assert group.kills == 0
    assert found[0].max() > 100
    assert np.mean(found[0] != found[1]) < 1e-4  # pixels whose probability is at the threshold


def test_too_little_memory_to_start_says_what_is_needed(tmp_path: Path) -> None:
    with memory_group(600 * MIB) as group:
        log = tmp_path / "log"
        with pytest.raises(AssertionError), served(log, within=group.command, STRIATE_MODELS=str(STARTER)):
            pytest.fail("It started.")
        assert "There are 600 MiB of memory; with these settings the service needs 910." in log.read_text()
        assert group.kills == 0
