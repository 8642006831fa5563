"""Tests of what is counted of one model."""

import pytest

from service.api.answers import Timings
from service.scheduling.work_item import InferenceResult
from service.telemetry.model_metrics import Statistics


def test_a_run_is_counted_once_for_all_its_images() -> None:
    statistics = Statistics()
    for size, seconds, images in [(4, 0.02, 4), (1, 0.01, 1), (1, 0.03, 1), (4, 0.04, 4), (8, 0.08, 7)]:
        for _ in range(images):  # one caller of the last run has disconnected
            statistics.add_run(InferenceResult({}, 0.0, seconds, size))
    runs = statistics.runs()
    assert {size: total.count for size, total in runs.items()} == {1: 2, 4: 2, 8: 1}
    assert {size: total.seconds for size, total in runs.items()} == pytest.approx({1: 0.04, 4: 0.06, 8: 0.07})


def test_stages_are_mapped_to_tritons_phases() -> None:
    statistics = Statistics()
    for _ in range(2):
        statistics.add_image(Timings(decode=1, preprocess=2, queue=4, infer=8, postprocess=16, encode=32))
    statistics.add_overhead("compute_input", 0.1)
    durations = {part: (each.count, round(each.seconds, 9)) for part, each in statistics.parts.items()}
    assert durations == {
        "queue": (2, 0.008), "compute_input": (2, 0.106), "compute_infer": (2, 0.016), "compute_output": (2, 0.096),
    }  # fmt: skip
