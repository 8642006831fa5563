"""Tests of the metrics of real processes: two front ends and their engine."""

import tempfile
from pathlib import Path

import httpx
import pytest

from tests.service.exposition import series_of
from tests.service.service_processes import answer, children, engines, readiness, suspended, until
from tests.serving import request_anew, served

pytestmark = pytest.mark.slow
ANSWERED = 'striate_requests_total{route="/predict",status="200"}'
COUNTS = ("_total", "_bucket", "_count")


def scraped(http: httpx.Client) -> dict[str, float]:
    """Over a connection of its own, so that either front end may answer."""
    return series_of(request_anew("GET", http.base_url.join("/metrics")).content)


class Watcher:
    """Scrapes, and holds every count against the former scrape: none ever falls, and none goes."""

    def __init__(self, http: httpx.Client) -> None:
        self._http, self._former = http, scraped(http)

    def now(self) -> dict[str, float]:
        series = scraped(self._http)
        for name, value in self._former.items():
            if name.partition("{")[0].endswith(COUNTS):
                assert series.get(name, 0) >= value, name
        self._former = series
        return series


def test_counters_are_summed_over_processes_and_outlive_them(root: Path, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        variables = {"STRIATE_MODELS": str(root), "STRIATE_FRONT_ENDS": "2", "TMPDIR": temporary}
        with served(tmp_path / "log", **variables) as (http, process):
            until(lambda: (tmp_path / "log").read_text().count('"event":"ready"') == 2)
            watcher = Watcher(http)
            assert [answer(http, 240) for _ in range(40)] == [(200, "bright")] * 40
            until(lambda: watcher.now().get(ANSWERED) == 40)
            series = watcher.now()
            assert series['striate_request_duration_seconds_count{route="/predict"}'] == 40
            assert series['striate_request_duration_seconds_bucket{le="+Inf",route="/predict"}'] == 40
            assert series['striate_predictions_total{label="bright",model="brightness"}'] == 40
            assert series['striate_batches_total{model="brightness",released="idle"}'] == 40
            assert series['striate_model_ready{model="brightness",version="1.0"}'] == series["striate_ready"] == 1
            assert series["striate_engine_starts_total"] == 1
            memory = 'striate_process_resident_memory_bytes{process="%s"}'
            assert {memory % name for name in ("front_end_1", "front_end_2", "engine")} <= set(series)

            front_ends = children(process, "_bentoml_impl.worker.service")
            front_ends[0].kill()
            until(lambda: len(children(process, "_bentoml_impl.worker.service")) == 2)
            until(lambda: (tmp_path / "log").read_text().count('"event":"ready"') == 3)
            assert watcher.now()[ANSWERED] == 40
            assert [answer(http, 240) for _ in range(20)] == [(200, "bright")] * 20
            until(lambda: watcher.now()[ANSWERED] == 60)

            with suspended(process):
                engines(process)[0].kill()
                until(lambda: readiness(http) == 503)
            until(lambda: watcher.now()["striate_engine_starts_total"] == 2)
            until(lambda: all(readiness(http) == 200 for _ in range(6)))
            until(lambda: watcher.now()["striate_ready"] == 1)
            assert answer(http, 1)[0] == 200
            until(lambda: watcher.now()[ANSWERED] == 61)
        assert not list(Path(temporary).glob("striate-*"))
