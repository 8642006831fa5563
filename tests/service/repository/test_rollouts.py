"""Tests of rollouts: promotion, rollback, and the file that keeps them."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.api.rollout import CanaryRollout, Rollout, Rollouts
from service.repository import rollouts
from service.repository.errors import CannotServe, InvalidRollouts

CANARY = CanaryRollout(version="2.0", percent=5)


def test_a_promotion_remembers_the_served_version_and_ends_its_other_roles() -> None:
    rollout = rollouts.promote(Rollout(canary=CANARY, shadow="3.0"), "2.0", serving="1.0")
    assert rollout == Rollout(pinned="2.0", former="1.0", shadow="3.0")
    assert rollouts.promote(rollout, "2.0", serving="2.0").former == "1.0"


@pytest.mark.parametrize(
    ("former", "serving", "expected"),
    [
        ("1.0", "3.0", "1.0"),  # the former version
        (None, "3.0", "2.0"),  # the next older
        (None, "2.0", "1.0"),
        (None, "9.0", "3.0"),  # the served version is gone: the newest
    ],
)
def test_a_rollback_returns_to_the_former_or_next_older_version(
    former: str | None, serving: str, expected: str
) -> None:
    valid = ["3.0", "2.0", "1.0"]
    rollout = rollouts.roll_back("digits", Rollout(former=former), serving=serving, valid=valid)
    assert (rollout.pinned, rollout.former) == (expected, serving)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (os.mkfifo, "is a FIFO"),
        (Path.mkdir, "is a folder"),
        (lambda path: path.symlink_to("/dev/zero"), "is a link"),
        (lambda path: path.write_bytes(b"[" * 100_000), "the file"),
        (lambda path: path.write_bytes(b" " * (2**20 + 1)), "at most 1,048,576"),
    ],
)
def test_what_is_no_file_of_rollouts_is_refused(tmp_path: Path, make: Callable[[Path], object], reason: str) -> None:
    make(tmp_path / rollouts.FILE)
    with pytest.raises(InvalidRollouts, match=reason):
        rollouts.read(tmp_path)


def test_without_an_earlier_version_there_is_no_rollback() -> None:
    with pytest.raises(CannotServe):
        rollouts.roll_back("digits", Rollout(), serving="1.0", valid=["1.0"])


def test_each_change_is_saved_and_counted(tmp_path: Path) -> None:
    def pin(n: int) -> None:
        rollouts.change(tmp_path, f"model-{n}", lambda rollout: rollout.model_copy(update={"pinned": f"{n}.0"}))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(pin, range(20)))
    saved = rollouts.read(tmp_path)
    assert saved.revision == 20
    assert {name: rollout.pinned for name, rollout in saved.models.items()} == {
        f"model-{n}": f"{n}.0" for n in range(20)
    }


@pytest.mark.parametrize(("text", "place"), [("{", "the file"), ('{"models": {"digits": {"pined": "1"}}}', "pined")])
def test_an_invalid_file_is_rejected_with_the_field(tmp_path: Path, text: str, place: str) -> None:
    (tmp_path / rollouts.FILE).write_text(text)
    with pytest.raises(InvalidRollouts, match=place):
        rollouts.read(tmp_path)


def test_a_missing_file_is_empty(tmp_path: Path) -> None:
    assert rollouts.read(tmp_path) == Rollouts()


def test_a_rollout_with_an_unknown_field_is_invalid(tmp_path: Path) -> None:
    (tmp_path / rollouts.FILE).write_text('{"models": {"brightness": {"pined": "1.0"}}}')
    with pytest.raises(InvalidRollouts, match=r"models\.brightness\.pined"):
        rollouts.read(tmp_path)


def test_concurrent_changes_are_all_saved(tmp_path: Path) -> None:
    def unload(n: int) -> None:
        rollouts.change(tmp_path, f"model-{n}", lambda plan: plan.model_copy(update={"unloaded": True}))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(unload, range(24)))
    saved = rollouts.read(tmp_path)
    assert saved.revision == len(saved.models) == 24
    assert [each.name for each in tmp_path.glob(".striate*")] == [rollouts.FILE]
