"""The statistics of several processes together, and what becomes of them when one of them is started again."""

from pathlib import Path

from service.api.answers import Timings
from service.scheduling.work_item import InferenceResult
from service.telemetry.model_statistics import Comparison, Spent, Statistics
from service.telemetry.tallies import ClusterStatistics


def counted(images: int, *, size: int = 1, last: float = 0.0) -> Statistics:
    statistics = Statistics(success=Spent(images, 2.0 * images), last=last, comparison=Comparison(compared=images))
    for _ in range(images):
        statistics.ran(InferenceResult({}, 0.0, 0.5, size))
        statistics.answered(Timings(decode=0, preprocess=0, queue=250, infer=500, postprocess=0, encode=0))
    return statistics


def process(folder: Path, name: str, **own: Statistics) -> ClusterStatistics:
    tallies = ClusterStatistics(lambda: own)
    tallies.share(folder, name)()
    return tallies


def test_whoever_is_asked_tells_the_sum(tmp_path: Path) -> None:
    one = process(tmp_path, "front_end_1", digits=counted(4, size=4, last=7.0), blobs=counted(1))
    two = process(tmp_path, "front_end_2", digits=counted(2, last=9.0))
    for asked in (one, two):
        told = asked.together()
        assert told["digits"].success == Spent(6, 12.0)
        assert told["digits"].runs() == {1: Spent(2, 1.0), 4: Spent(1, 0.5)}
        assert told["digits"].parts["queue"] == Spent(6, 1.5)
        assert (told["digits"].last, told["digits"].comparison.compared) == (9.0, 6)
        assert told["blobs"].success == Spent(1, 2.0)


def test_a_process_alone_tells_its_own_and_writes_nothing() -> None:
    own = counted(3)
    assert ClusterStatistics(lambda: {"digits": own}).together() == {"digits": own}
    assert ClusterStatistics(lambda: None).together() == {}


def test_who_takes_the_place_of_one_that_was_killed_goes_on_with_its_counts(tmp_path: Path) -> None:
    process(tmp_path, "front_end_1", digits=counted(3))
    other = process(tmp_path, "front_end_2", digits=counted(1))
    ClusterStatistics(lambda: None).share(tmp_path, "front_end_1")()  # it serves nothing yet
    assert other.together()["digits"].success.count == 4
    successor = process(tmp_path, "front_end_1", digits=counted(2))
    assert other.together()["digits"].success.count == successor.together()["digits"].success.count == 6


def test_a_version_that_was_freed_and_loaded_again_begins_anew(tmp_path: Path) -> None:
    process(tmp_path, "front_end_1", digits=counted(3))
    serves: dict[str, Statistics] = {}
    tallies = ClusterStatistics(lambda: serves)
    tallies.share(tmp_path, "front_end_1")
    assert tallies.together() == {}
    serves["digits"] = counted(1)
    assert tallies.together()["digits"].success.count == 1
