"""The metrics of several processes together: what adds up, what does not, and that nothing is ever taken back."""

import os
import time
from functools import partial
from pathlib import Path

import pytest

from service.telemetry.metrics import Metrics, ModelFacts
from service.telemetry.multiprocess import MultiprocessMetrics


def lines(text: bytes) -> dict[str, float]:
    """The series of an exposition, and what each is."""
    told = (line.rpartition(" ") for line in text.decode().splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in told}


def served(*, depth: int = 0) -> tuple[ModelFacts, ...]:
    return (ModelFacts("digits", "1", "ready", serves=True, depth=depth),)


def process(folder: Path, name: str) -> tuple[Metrics, MultiprocessMetrics]:
    metrics = Metrics()
    return metrics, MultiprocessMetrics(metrics, folder, name)


def test_counts_and_histograms_add_up_whoever_is_scraped(tmp_path: Path) -> None:
    (one, first), (two, second) = process(tmp_path, "front_end_1"), process(tmp_path, "front_end_2")
    one.requests.labels("/predict", "200").inc(3)
    two.requests.labels("/predict", "200").inc(4)
    two.requests.labels("/cam", "200").inc()
    one.request_duration.labels("/predict").observe(0.004)
    two.request_duration.labels("/predict").observe(0.2)
    second.write()
    told = lines(first.exposition())
    assert told == lines(second.exposition())
    assert told['striate_requests_total{route="/predict",status="200"}'] == 7
    assert told['striate_requests_total{route="/cam",status="200"}'] == 1
    buckets = {
        le: told[f'striate_request_duration_seconds_bucket{{le="{le}",route="/predict"}}']
        for le in ("0.005", "1.0", "+Inf")
    }
    assert buckets == {"0.005": 1, "1.0": 2, "+Inf": 2}
    assert told['striate_request_duration_seconds_sum{route="/predict"}'] == pytest.approx(0.204)
    assert told['striate_request_duration_seconds_count{route="/predict"}'] == 2


def test_of_what_is_in_flight_each_has_a_part_and_what_serves_is_the_same_for_all(tmp_path: Path) -> None:
    (one, first), (two, second) = process(tmp_path, "front_end_1"), process(tmp_path, "front_end_2")
    for metrics, waiting in ((one, 2), (two, 5)):
        metrics.in_flight.inc(waiting)
        metrics.models = partial(served, depth=waiting)
        metrics.queue_limit.set(64)
    second.write()
    told = lines(first.exposition())
    assert told["striate_in_flight_requests"] == 7
    assert told['striate_queue_depth{model="digits"}'] == 7
    assert told["striate_queue_limit"] == 64
    assert told['striate_model_ready{model="digits",version="1"}'] == 1


def test_who_takes_the_place_of_one_that_was_killed_goes_on_with_its_counts(tmp_path: Path) -> None:
    (one, first), (_, second) = process(tmp_path, "front_end_1"), process(tmp_path, "front_end_2")
    one.requests.labels("/predict", "200").inc(3)
    one.stage_duration.labels("infer", "digits").observe(0.1)
    one.in_flight.inc(2)
    shown = lines(first.exposition())  # and then it is killed
    successor, again = process(tmp_path, "front_end_1")
    again.write()
    after = lines(second.exposition())
    assert {name for name in shown if name not in after} == set()
    assert after['striate_requests_total{route="/predict",status="200"}'] == 3
    assert after["striate_in_flight_requests"] == 0  # what was under way has ended with it
    successor.requests.labels("/predict", "200").inc()
    told = lines(again.exposition())
    assert told['striate_requests_total{route="/predict",status="200"}'] == 4
    assert told['striate_stage_duration_seconds_count{model="digits",stage="infer"}'] == 1


def test_of_a_process_that_has_not_written_for_long_only_the_counts_remain(tmp_path: Path) -> None:
    (one, first), (_, second) = process(tmp_path, "front_end_1"), process(tmp_path, "front_end_2")
    one.requests.labels("/predict", "200").inc(3)
    one.in_flight.inc(2)
    first.write()
    assert lines(second.exposition())["striate_in_flight_requests"] == 2
    long_ago = time.time() - 60
    os.utime(tmp_path / "front_end_1.prom", (long_ago, long_ago))
    told = lines(second.exposition())
    assert told['striate_requests_total{route="/predict",status="200"}'] == 3
    assert told["striate_in_flight_requests"] == 0


def test_a_series_that_is_taken_away_is_gone(tmp_path: Path) -> None:
    one, first = process(tmp_path, "front_end_1")
    one.models = served
    assert "digits" in first.exposition().decode()
    one.models = tuple
    assert "digits" not in first.exposition().decode()


def test_one_process_alone_tells_what_it_would_tell_without_a_file(tmp_path: Path) -> None:
    metrics, shares = process(tmp_path, "front_end_1")
    metrics.requests.labels('/odd "route" \\ name', "200").inc()
    metrics.confidence.labels("digits").observe(1e-7)
    assert lines(shares.exposition()) == lines(metrics.exposition())
    assert [line for line in shares.exposition().splitlines() if line.startswith(b"#")] == [
        line for line in metrics.exposition().splitlines() if line.startswith(b"#")
    ]
