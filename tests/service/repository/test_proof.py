"""Tests of the proof that a child process gives: what it covers, and the memory that it measures."""

from pathlib import Path

import numpy as np
import pytest

from models.errors import PackageError
from service.repository import proof
from tests import tiny
from tests.service.repository.hostile_packages import sealed


def stages(folder: Path, *, run: bool) -> tuple[dict[str, object], list[str]]:
    seen: list[str] = []
    batches = {"sizes": (1, 2), "bound_s": 0.5} if run else None
    return proof.prove({"folder": str(folder), "batches": batches}, seen.append), seen


def test_a_network_is_run_where_it_is_asked_for(tmp_path: Path) -> None:
    package = tiny.brightness(tmp_path)
    assert stages(package.folder, run=False) == ({"sha256": package.sha256}, ["reading"])
    proved, seen = stages(package.folder, run=True)
    assert seen == ["reading", "loading", "running", "running batches"]
    assert proved["sha256"] == package.sha256


def test_only_a_run_finds_a_network_that_answers_otherwise(tmp_path: Path) -> None:
    folder = tiny.brightness(tmp_path).folder
    np.save(tmp_path / "other.npy", np.full((1, 3), 1 / 3, np.float32))
    sealed("test_probabilities.npy", (tmp_path / "other.npy").read_bytes())(folder)
    stages(folder, run=False)
    with pytest.raises(PackageError, match="does not reproduce"):
        stages(folder, run=True)
