"""Tests of the token bucket with a controlled clock, in one process and across several."""

import subprocess
import sys
from pathlib import Path

import pytest

from service.security import token_bucket
from service.security.token_bucket import LocalTimestamp, SharedTimestamp, TokenBucket

ROOT = Path(__file__).parents[3]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(token_bucket, "monotonic", clock)
    return clock


@pytest.mark.parametrize("shared", [False, True])
def test_a_bucket_admits_its_burst_then_its_rate(clock: Clock, tmp_path: Path, shared: bool) -> None:
    bucket = TokenBucket(0.5, 3, SharedTimestamp(tmp_path / "viewer") if shared else LocalTimestamp())
    assert [bucket.take() for _ in range(5)] == [0, 0, 0, 2, 2]  # one comes every 2 s
    clock.now += 1.5
    assert bucket.take() == 1  # in half a second, rounded up
    clock.now += 0.5
    assert bucket.take() == 0
    clock.now += 1e6
    assert [bucket.take() for _ in range(4)] == [0, 0, 0, 2]  # no more than the burst is saved up


@pytest.mark.parametrize(("per_s", "burst"), [(0.3, 7), (10.0, 10), (999.0, 1000), (1e6, 3)])
def test_rounding_never_changes_the_burst(clock: Clock, per_s: float, burst: int) -> None:
    clock.now = 1234567.891
    bucket = TokenBucket(per_s, burst, LocalTimestamp())
    assert [bucket.take() == 0 for _ in range(burst + 1)] == [True] * burst + [False]


def test_one_file_is_one_bucket_and_a_higher_rate_applies_at_once(clock: Clock, tmp_path: Path) -> None:
    one, other = (TokenBucket(1e-6, 2, SharedTimestamp(tmp_path / "viewer")) for _ in range(2))
    assert (one.take(), other.take()) == (0, 0)
    assert one.take() == other.take() == 1_000_000
    faster = TokenBucket(10, 2, SharedTimestamp(tmp_path / "viewer"))
    assert faster.take() == 1  # it is empty, as it would be by the new rate at most
    clock.now += 0.1
    assert (faster.take(), faster.take()) == (0, 1)


def test_a_key_is_unlimited_if_the_file_cannot_be_written(tmp_path: Path) -> None:
    bucket = TokenBucket(1e-6, 1, SharedTimestamp(tmp_path / "gone" / "viewer"))
    assert [bucket.take() for _ in range(3)] == [0, 0, 0]


def test_concurrent_processes_share_one_burst(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib; from service.security.token_bucket import TokenBucket, SharedTimestamp\n"
        "bucket = TokenBucket(1e-6, 1000, SharedTimestamp(pathlib.Path(sys.argv[1])))\n"
        "print(sum(bucket.take() == 0 for _ in range(900)))"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "viewer")]
    running = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) for _ in range(3)]
    assert sum(int(process.communicate(timeout=60)[0]) for process in running) == 1000
