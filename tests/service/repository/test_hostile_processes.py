"""The real service beside packages that are made to harm, with one front end and with two: start, service, end."""

import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest

from tests.service.image_files import form, grey
from tests.service.repository.hostile_packages import CASES, ENDLESS, write_hostile
from tests.service.repository.versions import write_version
from tests.serving import served

GRACE_S = 40  # that compose and the chart give


def version_that_answers(http: httpx.Client) -> str:
    got = http.post("/predict", files=form(grey(200)), data={"model": "brightness"})
    assert got.status_code == 200, got.text
    return str(got.json()["model"]["version"])


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.parametrize("front_ends", [1, 2])
def test_the_service_starts_serves_follows_and_ends(tmp_path: Path, front_ends: int) -> None:
    models, log = tmp_path / "models", tmp_path / "log"
    write_version(models, "1.0")
    for n, (damage, _) in enumerate(CASES.values()):
        write_hostile(models, f"case-{n:02}", "1.0", damage)
    for n in range(2):
        write_hostile(models, f"endless-{n}", "1.0", ENDLESS)
    settings = {"STRIATE_MODELS": str(models), "STRIATE_FRONT_ENDS": str(front_ends), "STRIATE_PROOF_TIMEOUT_S": "8"}
    with served(log, **settings) as (http, process):
        serving = psutil.Process(process.pid).children(recursive=True)
        assert version_that_answers(http) == "1.0"
        write_version(models, "2.0")
        until(lambda: version_that_answers(http) == "2.0")
        until(lambda: http.get("/models/endless-0").json()["reason"].startswith("It was not proved within 8 s"))
        assert http.get("/readyz").status_code == 200
        write_hostile(models, "endless-2", "1.0", ENDLESS)
        time.sleep(2)
        asked = time.monotonic()
        process.terminate()
        process.wait(timeout=GRACE_S)
        assert time.monotonic() - asked < GRACE_S
        _, alive = psutil.wait_procs(serving, timeout=10)
        assert not alive
    text = log.read_text()
    for event in ("unhandled exception", "engine ended", "repository not refreshed"):
        assert f'"event":"{event}"' not in text, text
