"""Tests of a storm of every kind of harm at once: beside it who behaves loses nothing, and behind it nothing stays."""

import logging
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from service.security.api_keys import new_key
from tests.service.exposition import metric
from tests.service.hostile.hostile_publisher import Published, publishing
from tests.service.hostile.service_census import Census, count, counting
from tests.service.hostile.well_behaved_callers import QUESTIONS, STARTER, Told, asking, seconds_alone
from tests.service.repository.versions import write_version
from tests.service.service_processes import until
from tests.serving import ROOT, served

SETTINGS = {
    "STRIATE_IMAGE_BYTES": str(3 * 2**30),  # for one image of 25 megapixels
    "STRIATE_PROOF_TIMEOUT_S": "20",
    "STRIATE_WANTED": "brightness,digits,nuclei,pneumonia",
}
HELD = ("striate_in_flight_requests", "striate_queue_depth", "striate_preparing_images", "striate_reserved_bytes")
SOME_FILES = 10
BUGS = ("unhandled exception", "Traceback", "ASGI callable")
LONG = [pytest.mark.long, pytest.mark.timeout(2400)]


def repository(folder: Path) -> Path:
    """The starter packages, and one that is replaced."""
    for name in ("digits", "nuclei", "pneumonia"):
        shutil.copytree(STARTER / name, folder / name)
    write_version(folder, "1.0")
    return folder


def write_keys(file: Path) -> tuple[str, str]:
    """Returns the keys of who behaves and of who does not."""
    viewer, viewer_lines = new_key("viewer", ["infer", "metrics"])
    stranger, stranger_lines = new_key("stranger", ["infer", "operate"])
    file.write_text(f"{viewer_lines}\n{stranger_lines}")
    return viewer, stranger


@contextmanager
def hostile_callers() -> Iterator[subprocess.Popen[str]]:
    """Hostile callers, who say when they are ready."""
    command = [sys.executable, "-m", "tests.service.hostile.hostile_callers", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def rage(hostile: subprocess.Popen[str], url: httpx.URL, key: str, seconds: float) -> str:
    """Has them go on for so long, and returns what they did."""
    done, _ = hostile.communicate(f"{url} {key} {seconds}\n", timeout=seconds + 120)
    assert hostile.returncode == 0
    return done


def is_idle(http: httpx.Client) -> bool:
    """Whether nothing is held for any request but this."""
    metrics = http.get("/metrics").text
    return [metric(metrics, name) for name in HELD] == [1, 0, 0, 0]


def report(told: Told, census: Census, published: Published, done: str) -> str:
    rss, files = (census.by_quarter(what) for what in ("rss_bytes", "open_files"))
    lines = [
        told.report(),
        f"RSS of each quarter in MiB: {[round(each / 2**20) for each in rss]}, open files: {list(map(round, files))}",
        f"processes: {len(set().union(*census.lasting))} that last, {len(census.passing)} that do not",
        f"packages: {published.harmful} harmful, sound ones taken in after {published.taken_in_s} s",
        done,
    ]
    return "\n".join(lines)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seconds", "most_s", "most_growth"),
    [pytest.param(12, 18.0, 2.0, id="short"), pytest.param(1200, 3.0, 1.15, id="20 minutes", marks=LONG)],
)
def test_who_behaves_loses_nothing(tmp_path: Path, seconds: float, most_s: float, most_growth: float) -> None:
    """most_s: the 99th percentile of each question. The short storm says little of that, or of memory's growth."""
    models, keys, log = repository(tmp_path / "models"), tmp_path / "keys.toml", tmp_path / "log"
    viewer, stranger = write_keys(keys)
    settings = SETTINGS | {"STRIATE_MODELS": str(models), "STRIATE_KEYS": str(keys)}
    with hostile_callers() as hostile, served(log, **settings) as (http, process):
        assert hostile.stdout
        assert hostile.stdout.readline() == "ready\n"
        http.headers["X-API-Key"] = viewer
        until(lambda: is_idle(http))
        before = count(process.pid)
        with (
            asking(http) as told,
            counting(process.pid) as census,
            publishing(http, models, period_s=1 + seconds / 85) as published,
        ):
            done = rage(hostile, http.base_url, stranger, seconds)
        until(lambda: is_idle(http))
        after, alone = count(process.pid), seconds_alone(http)
        failed = metric(http.get("/metrics").text, "striate_requests_total", status="500")
    facts, rss = report(told, census, published, done), census.by_quarter("rss_bytes")
    logging.getLogger(__name__).info(facts)  # pytest --log-cli-level=info shows it
    assert (told.wrong, told.lost, published.missing) == ([], [], []), facts
    assert census.lasting == {before.lasting} == {after.lasting}, facts
    assert published.taken_in_s, facts
    assert rss[3] < most_growth * rss[1], facts
    assert after.open_files < before.open_files + SOME_FILES, (before, after, facts)
    assert [name for name in alone if alone[name] > 4 * told.alone[name] + 0.1] == [], (alone, facts)
    assert failed == 0
    assert [line for line in log.read_text().splitlines() if any(bug in line for bug in BUGS)] == []
    assert [name for name in QUESTIONS if told.percentile(0.99, name) > most_s] == [], facts
