import pytest

from benchmarks.rounds import CONTROL, AtLeast, AtMost, Finding, Ratio, interleaved, with_control


def test_every_round_begins_with_the_next_side() -> None:
    order: list[str] = []
    results = interleaved({name: lambda name=name: order.append(name) or len(order) for name in "abc"}, rounds=4)
    assert "".join(order) == "abcbcacababc"
    assert results == {"a": [1, 6, 8, 10], "b": [2, 4, 9, 11], "c": [3, 5, 7, 12]}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("a", ["a", CONTROL]),
        ("abc", ["a", "b", CONTROL, "c"]),
        ("bac", ["a", "b", CONTROL, "c"]),
        ("abcde", ["a", "b", "c", CONTROL, "d", "e"]),
    ],
)
def test_the_control_is_half_a_round_from_what_it_repeats(names: str, expected: list[str]) -> None:
    sides = with_control({name: name.upper() for name in names}, of="a")
    assert list(sides) == expected
    assert sides[CONTROL] == sides["a"] == "A"


def test_a_ratio_is_taken_round_by_round() -> None:
    ratio = Ratio.of([10, 40, 90], [10, 20, 30])  # a machine that slows fourfold shows in neither
    assert (ratio.median, ratio.low, ratio.high) == pytest.approx((2, 1.2, 2.8))
    with pytest.raises(ValueError, match="zip"):
        Ratio.of([1, 2], [1])


@pytest.mark.parametrize(
    ("low", "high", "noise"),
    [(1, 1, 0), (0.97, 1.02, 0.05), (1.1, 1.2, 0.2), (0.7, 0.8, 0.3)],  # quiet, both sides, always more, always less
)
def test_a_controls_noise_is_how_far_it_strays_from_one(low: float, high: float, noise: float) -> None:
    assert Ratio(1, low, high).noise == pytest.approx(noise)


QUIET, LOUD = Ratio(1, 0.99, 1.02), Ratio(1, 0.9, 1.15)


@pytest.mark.parametrize(
    ("median", "reach", "control", "verdict"),
    [
        (0.93, AtLeast(0.92), QUIET, "reached"),
        (0.92, AtLeast(0.92), QUIET, "reached"),
        (0.91, AtLeast(0.92), QUIET, "short"),
        (1.03, AtMost(1.03), QUIET, "reached"),
        (1.04, AtMost(1.03), QUIET, "short"),
        (1.04, None, QUIET, ""),
        (0.5, AtMost(1), LOUD, "too noisy to tell (the control strays 25%, 10% may be)"),
        (0.5, None, LOUD, "too noisy to tell (the control strays 25%, 10% may be)"),
    ],
)
def test_the_verdict(median: float, reach: AtLeast | AtMost | None, control: Ratio, verdict: str) -> None:
    assert Finding("what", Ratio(median, 0, 9), control, reach).verdict == verdict


def test_two_rounds_tell_nothing() -> None:
    few, enough = Ratio.of([1, 1], [2, 2]), Ratio.of([1, 1, 1], [2, 2, 2])
    assert Finding("what", few, QUIET, AtMost(1)).verdict == "too few rounds to tell"
    assert Finding("what", enough, QUIET, AtMost(1)).verdict == "reached"
