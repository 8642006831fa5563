"""Tests of multiprocess metrics: sums, maxima, and counters that never decrease."""

import os
import time
from functools import partial
from pathlib import Path

import pytest

from service.telemetry.metrics import Metrics, ModelFacts
from service.telemetry.multiprocess import MultiprocessMetrics
from tests.service.exposition import series_of


def served(*, depth: int = 0) -> tuple[ModelFacts, ...]:
    return (ModelFacts("digits", "1", "ready", serves=True, depth=depth),)


def process(folder: Path, name: str) -> tuple[Metrics, MultiprocessMetrics]:
    metrics = Metrics()
    return metrics, MultiprocessMetrics(metrics, folder, name)


def test_every_process_exposes_the_sum_of_counters_and_histograms(tmp_path: Path) -> None:
    (one, first), (two, second) = process(tmp_path, "front_end_1"), process(tmp_path, "front_end_2")
    one.requests.labels("/predict", "200").inc(3)
    two.requests.labels("/predict", "200").inc(4)
    two.requests.labels("/cam", "200").inc()
    one.request_duration.labels("/predict").observe(0.004)
    two.request_duration.labels("/predict").observe(0.2)
    second.write()
    total = series_of(first.exposition())
    assert total == series_of(second.exposition())
    assert total['striate_requests_total{route="/predict",status="200"}'] == 7
    assert total['striate_requests_total{route="/cam",status="200"}'] == 1
    buckets = {
        le: total[f'striate_request_duration_seconds_bucket{{le="{le}",route="/predict"}}']
        for le in ("0.005", "1.0", "+Inf")
    }
    assert buckets == {"0.005": 1, "1.0": 2, "+Inf": 2}
    assert total['striate_request_duration_seconds_sum{route="/predict"}'] == pytest.approx(0.204)
    assert total['striate_request_duration_seconds_count{route="/predict"}'] == 2


def test_summed_gauges_add_up_and_others_are_taken_once(tmp_path: Path) -> None:
    (one, first), (two, second) = process(tmp_path, "front_end_1"), process(tmp_path, "front_end_2")
    for metrics, waiting in ((one, 2), (two, 5)):
        metrics.in_flight.inc(waiting)
        metrics.models = partial(served, depth=waiting)
        metrics.queue_limit.set(64)
    second.write()
    total = series_of(first.exposition())
    assert total["striate_in_flight_requests"] == 7
    assert total['striate_queue_depth{model="digits"}'] == 7
    assert total["striate_queue_limit"] == 64
    assert total['striate_model_ready{model="digits",version="1"}'] == 1


def test_a_replacement_process_continues_the_counters(tmp_path: Path) -> None:
    (one, first), (_, second) = process(tmp_path, "front_end_1"), process(tmp_path, "front_end_2")
    one.requests.labels("/predict", "200").inc(3)
    one.stage_duration.labels("infer", "digits").observe(0.1)
    one.in_flight.inc(2)
    shown = series_of(first.exposition())  # and then it is killed
    successor, replacement = process(tmp_path, "front_end_1")
    replacement.write()
    after = series_of(second.exposition())
    assert {name for name in shown if name not in after} == set()
    assert after['striate_requests_total{route="/predict",status="200"}'] == 3
    assert after["striate_in_flight_requests"] == 0  # requests in progress ended with it
    successor.requests.labels("/predict", "200").inc()
    total = series_of(replacement.exposition())
    assert total['striate_requests_total{route="/predict",status="200"}'] == 4
    assert total['striate_stage_duration_seconds_count{model="digits",stage="infer"}'] == 1


def test_only_the_counters_of_a_stale_process_remain(tmp_path: Path) -> None:
    (one, first), (_, second) = process(tmp_path, "front_end_1"), process(tmp_path, "front_end_2")
    one.requests.labels("/predict", "200").inc(3)
    one.in_flight.inc(2)
    first.write()
    assert series_of(second.exposition())["striate_in_flight_requests"] == 2
    long_ago = time.time() - 60
    os.utime(tmp_path / "front_end_1.prom", (long_ago, long_ago))
    total = series_of(second.exposition())
    assert total['striate_requests_total{route="/predict",status="200"}'] == 3
    assert total["striate_in_flight_requests"] == 0


def test_a_removed_series_disappears(tmp_path: Path) -> None:
    one, first = process(tmp_path, "front_end_1")
    one.models = served
    assert "digits" in first.exposition().decode()
    one.models = tuple
    assert "digits" not in first.exposition().decode()


def test_a_single_process_exposes_the_same_as_without_a_file(tmp_path: Path) -> None:
    metrics, shared = process(tmp_path, "front_end_1")
    metrics.requests.labels('/odd "route" \\ name', "200").inc()
    metrics.confidence.labels("digits").observe(1e-7)
    assert series_of(shared.exposition()) == series_of(metrics.exposition())
    assert [line for line in shared.exposition().splitlines() if line.startswith(b"#")] == [
        line for line in metrics.exposition().splitlines() if line.startswith(b"#")
    ]
