"""Tests of the stopwatch: sums of stages, the metrics and the callback of a trace."""

import time

import pytest

from service.scheduling.work_item import InferenceResult
from service.telemetry.metrics import Metrics
from service.telemetry.stopwatch import ON_STAGE, Stopwatch


def test_a_repeated_stage_adds_up_and_is_observed_once() -> None:
    metrics = Metrics()
    watch = Stopwatch(metrics.for_model("digits"))
    watch.add("decode", 0.5)
    for _ in range(3):  # tiles
        watch.add_run(InferenceResult({}, 0.001, 0.004, 1))
    timings = watch.finish()
    assert (timings.decode, timings.queue, timings.infer, timings.preprocess) == (500.0, 3.0, 12.0, 0.0)
    text = metrics.exposition().decode()
    for stage, seconds in (("decode", 0.5), ("queue", 0.003), ("infer", 0.012)):
        series = f'{{model="digits",stage="{stage}"}}'
        assert f"striate_stage_duration_seconds_count{series} 1.0\n" in text
        assert f"striate_stage_duration_seconds_sum{series} {seconds}" in text


def decode_and_fail(*, seconds: float) -> None:
    time.sleep(seconds)
    raise LookupError


def test_a_stage_is_timed_even_if_it_raises() -> None:
    watch = Stopwatch(Metrics().for_model("digits"))
    with pytest.raises(LookupError), watch.stage("decode"):
        decode_and_fail(seconds=0.01)
    assert watch.finish().decode >= 10


def test_each_stage_is_reported_to_the_trace_of_the_request() -> None:
    stages: list[tuple[str, float, float]] = []
    token = ON_STAGE.set(lambda name, seconds, ago: stages.append((name, seconds, ago)))
    try:
        watch = Stopwatch(Metrics().for_model("digits"))
    finally:
        ON_STAGE.reset(token)
    watch.add_run(InferenceResult({}, 0.001, 0.004, 1))
    assert stages == [("queue", 0.001, 0.004), ("infer", 0.004, 0.0)]
