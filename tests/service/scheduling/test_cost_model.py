"""Duration against size: what is fitted, and how much it is then worth running together."""

import pytest

from service.scheduling.cost_model import BatchCloseReason, CostModel

NO_MORE, FULL, BOUND, NO_GAIN = (
    BatchCloseReason.NO_MORE,
    BatchCloseReason.FULL,
    BatchCloseReason.BOUND,
    BatchCloseReason.NO_GAIN,
)
BUCKETS = (1, 2, 4, 8, 16, 32)


def measured(fixed: float, rate: float, *, sizes: tuple[int, ...] = (1, 2, 4), elements: int = 10) -> CostModel:
    pace = CostModel()
    for size in sizes:
        pace.record(size, elements=size * elements, seconds=fixed + rate * size * elements)
    return pace


@pytest.mark.parametrize(
    ("fixed", "rate", "sizes"), [(0.01, 1e-4, (1, 2, 4)), (0.0, 1e-3, (1, 2)), (0.5, 0.0, (1, 8, 32))]
)
def test_a_line_is_found_again(fixed: float, rate: float, sizes: tuple[int, ...]) -> None:
    assert measured(fixed, rate, sizes=sizes).line() == pytest.approx((fixed, rate), abs=1e-12)


@pytest.mark.parametrize(
    ("points", "line"),
    [
        ({}, (0.0, 0.0)),
        ({1: 0.02}, (0.0, 0.002)),  # one size tells nothing of what is fixed
        ({1: 0.02, 2: 0.01}, (0.015, 0.0)),  # faster with more in it: noise
        ({1: 0.01, 2: 0.03}, (0.0, 0.0014)),  # a negative fixed part: noise
    ],
)
def test_neither_part_is_ever_negative(points: dict[int, float], line: tuple[float, float]) -> None:
    pace = CostModel()
    for size, seconds in points.items():
        pace.record(size, elements=10 * size, seconds=seconds)
    assert pace.line() == pytest.approx(line)


@pytest.mark.parametrize(
    ("fixed", "rate", "waiting", "bound_s", "size", "why"),
    [
        (0.010, 1e-4, 40, 1.0, 32, FULL),  # much of a run is fixed: everything together
        (0.010, 1e-4, 7, 1.0, 4, NO_MORE),  # the largest full bucket
        (0.010, 1e-4, 40, 0.020, 8, BOUND),  # 10 + 8 ms are within 20, 10 + 16 are not
        (0.010, 1e-4, 40, 0.001, 1, BOUND),  # one is always let through
        (0.0, 1e-3, 40, 1.0, 1, NO_GAIN),  # nothing is fixed: together is only later
        (0.001, 1e-3, 40, 1.0, 1, NO_GAIN),  # 11 ms alone, 10.5 each in twos: less than a twentieth gained
        (0.010, 1e-3, 40, 1.0, 16, NO_GAIN),  # 20, 15, 12.5, 11.25, 10.6 and then 10.3 ms each: a twentieth less pays
    ],
)
def test_how_many_run_together(
    fixed: float, rate: float, waiting: int, bound_s: float, size: int, why: BatchCloseReason
) -> None:
    pace = measured(fixed, rate)
    assert pace.batch_size(waiting, elements=10, buckets=BUCKETS, bound_s=bound_s) == (size, why)


def test_larger_items_make_smaller_batches() -> None:
    pace = measured(0.010, 1e-5)
    sizes = [pace.batch_size(32, elements=n, buckets=BUCKETS, bound_s=0.05)[0] for n in (10, 100, 1000)]
    assert sizes == [32, 32, 4]


def test_old_measurements_fade() -> None:
    pace = measured(0.0, 1e-3, sizes=(1,))
    for _ in range(60):
        pace.record(1, elements=10, seconds=0.02)
    assert pace.seconds(10) == pytest.approx(0.02, rel=0.01)


def test_whether_one_is_brief_is_told_by_runs_alone() -> None:
    pace = CostModel()
    assert not pace.within(1.0, 10)
    pace.record(1, elements=10, seconds=3e-4)  # as the service started, beside much else
    assert not pace.within(1e-4, 10)
    for _ in range(20):
        pace.record_alone(10, 3e-5)
    assert pace.within(1e-4, 10)
    assert not pace.within(1e-4, 1000)
    pace.record_alone(10, 0.05)  # the system did something else meanwhile
    assert pace.within(1e-4, 10)
    pace.record_alone(10, 0.3)  # this was the network
    assert not pace.within(1e-4, 10)
    for _ in range(80):
        pace.record_alone(10, 3e-5)
    assert pace.within(1e-4, 10)
    for _ in range(20):
        pace.record_alone(10, 2e-4)
    assert not pace.within(1e-4, 10)


def test_a_larger_one_is_not_brief_because_a_smaller_one_is() -> None:
    pace = CostModel()
    pace.record(1, elements=10, seconds=2e-5)
    assert pace.within(1e-4, 40)
    assert not pace.within(1e-4, 60)
    pace.record_alone(60, 9e-5)  # once is not enough
    assert not pace.within(1e-4, 60)
    for _ in range(20):
        pace.record_alone(60, 5e-5)
    assert pace.within(1e-4, 60)
