"""Tests of statistics summed over front ends, including the restart of one of them."""

from pathlib import Path

from service.api.answers import Timings
from service.scheduling.work_item import InferenceResult
from service.telemetry.cluster_statistics import ClusterStatistics
from service.telemetry.model_metrics import Comparison, DurationSum, Statistics


def make_statistics(images: int, *, size: int = 1, last: float = 0.0) -> Statistics:
    statistics = Statistics(
        success=DurationSum(images, 2.0 * images), last=last, comparison=Comparison(compared=images)
    )
    for _ in range(images):
        statistics.add_run(InferenceResult({}, 0.0, 0.5, size))
        statistics.add_image(Timings(decode=0, preprocess=0, queue=250, infer=500, postprocess=0, encode=0))
    return statistics


def process(folder: Path, name: str, **own: Statistics) -> ClusterStatistics:
    cluster = ClusterStatistics(lambda: own)
    cluster.attach(folder, name)()
    return cluster


def test_every_front_end_reports_the_sum(tmp_path: Path) -> None:
    one = process(tmp_path, "front_end_1", digits=make_statistics(4, size=4, last=7.0), blobs=make_statistics(1))
    two = process(tmp_path, "front_end_2", digits=make_statistics(2, last=9.0))
    for front_end in (one, two):
        total = front_end.total()
        assert total["digits"].success == DurationSum(6, 12.0)
        assert total["digits"].runs() == {1: DurationSum(2, 1.0), 4: DurationSum(1, 0.5)}
        assert total["digits"].parts["queue"] == DurationSum(6, 1.5)
        assert (total["digits"].last, total["digits"].comparison.compared) == (9.0, 6)
        assert total["blobs"].success == DurationSum(1, 2.0)


def test_a_single_process_reports_its_own_without_a_file() -> None:
    own = make_statistics(3)
    assert ClusterStatistics(lambda: {"digits": own}).total() == {"digits": own}
    assert ClusterStatistics(lambda: None).total() == {}


def test_a_replacement_process_continues_the_counts(tmp_path: Path) -> None:
    process(tmp_path, "front_end_1", digits=make_statistics(3))
    other = process(tmp_path, "front_end_2", digits=make_statistics(1))
    ClusterStatistics(lambda: None).attach(tmp_path, "front_end_1")()  # its models are not loaded yet
    assert other.total()["digits"].success.count == 4
    successor = process(tmp_path, "front_end_1", digits=make_statistics(2))
    assert other.total()["digits"].success.count == successor.total()["digits"].success.count == 6


def test_a_reloaded_version_starts_from_zero(tmp_path: Path) -> None:
    process(tmp_path, "front_end_1", digits=make_statistics(3))
    own: dict[str, Statistics] = {}
    cluster = ClusterStatistics(lambda: own)
    cluster.attach(tmp_path, "front_end_1")
    assert cluster.total() == {}
    own["digits"] = make_statistics(1)
    assert cluster.total()["digits"].success.count == 1
