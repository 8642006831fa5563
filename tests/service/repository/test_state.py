"""Tests of the repository state: the choice of a model, canary buckets, missing models and counted requests."""

import asyncio
import time
from pathlib import Path

import pytest

from service.errors import NotReady
from service.http.errors import MissingField
from service.repository.errors import UnknownModel, UnknownVersion, WrongTask
from service.repository.state import CurrentState, Repository, UseCounter, canary_bucket
from service.telemetry.model_metrics import DurationSum, Statistics
from tests import tiny
from tests.service.repository.loaded_repository import load_repository


def test_a_model_is_chosen_by_name_and_task(root: Path) -> None:
    repository = load_repository(root)
    assert repository.able("segmentation") == ("blobs", "tissue")
    assert repository.choose("brightness", task="classification").spec.name == "brightness"
    with pytest.raises(UnknownModel, match="'blobs', 'brightness', 'tissue'"):
        repository.get("resnet")
    with pytest.raises(WrongTask, match="'blobs', 'tissue'"):
        repository.choose("brightness", task="segmentation")


@pytest.mark.parametrize(
    ("wanted", "missing"), [((), ()), (("blobs",), ()), (("blobs", "brightness"), ("brightness",)), (("x",), ("x",))]
)
def test_wanted_models_that_are_not_served_are_missing(
    tmp_path: Path, wanted: tuple[str, ...], missing: tuple[str, ...]
) -> None:
    tiny.blobs(tmp_path)
    tiny.brightness(tmp_path).weights.write_bytes(b"")
    assert load_repository(tmp_path, wanted=wanted).missing() == missing


def test_only_live_versions_are_found_by_number(tmp_path: Path) -> None:
    for version in ("1.0", "2.0"):
        tiny.brightness(tmp_path, version=version)
    repository = load_repository(tmp_path)
    assert [model.spec.version for model in repository.live_versions("brightness")] == ["2.0"]
    assert [inactive.package.spec.version for inactive in repository.inactive] == ["1.0"]
    assert repository.version("brightness", "2.0") is repository.served["brightness"]
    with pytest.raises(UnknownVersion):
        repository.version("brightness", "1.0")


@pytest.mark.parametrize("percent", [1, 30, 99])
def test_canary_buckets_are_uniform(percent: int) -> None:
    """Checks the share within four standard deviations, which a fair draw misses once in 16,000 times."""
    n, p = 20_000, percent / 100
    hits = sum(canary_bucket("brightness", f"{number:x}") < percent for number in range(n))
    assert abs(hits - n * p) < 4 * (n * p * (1 - p)) ** 0.5


def test_a_request_succeeds_or_fails(root: Path) -> None:
    model = load_repository(root).get("brightness")
    statistics = model.statistics
    with model.request(time.perf_counter() - 5):
        pass
    with pytest.raises(MissingField), model.request(time.perf_counter()):
        raise MissingField(["image"])
    assert (statistics.success.count, statistics.fail.count) == (1, 1)
    assert statistics.success.seconds >= 5
    assert statistics.last == pytest.approx(time.time(), abs=600)
    assert Statistics().last == 0
    assert Statistics().success == DurationSum()


def test_until_the_models_are_known_the_reason_is_given() -> None:
    state = CurrentState()
    with pytest.raises(NotReady, match="still being loaded"):
        _ = state.current
    state.known = repository = Repository()
    assert state.current is repository
    state.known, state.unknown_because = None, "The engine has ended."
    with pytest.raises(NotReady, match="The engine has ended"):
        _ = state.current


@pytest.mark.anyio
async def test_who_waits_for_a_version_to_be_unused_is_woken_by_its_last_request() -> None:
    use = UseCounter()
    await use.wait_until_unused()
    with use:
        waiting = asyncio.create_task(use.wait_until_unused())
        with use:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not waiting.done()
    await waiting
