"""Tests of memory: a replaced version gives its memory back."""

import asyncio
import logging
from pathlib import Path
from statistics import median

import numpy as np
import psutil
import pytest
from onnx import helper

from models.package import Package
from service.repository import loader
from service.repository.state import Repository
from service.settings import Settings
from tests import package_parts
from tests.service.repository.versions import INPUT, SessionTracker

pytestmark = [pytest.mark.slow, pytest.mark.anyio]
WEIGHTS = 2_000_000  # float32: 8 MB a version
FIRST, SWAPS = 3, 20
MOST_GROWTH = 1.08  # a leak of every version would make it 2


def heavy(root: Path, number: str) -> Package:
    """Writes a classifier with one large matrix, which differs between versions."""
    columns = WEIGHTS // 64
    matrix = np.random.default_rng(int(float(number) * 10)).normal(0, 1e-3, (64, columns)).astype(np.float32)
    fold = np.zeros((columns, 2), np.float32)
    fold[0, 0] = fold[1, 1] = 1
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], ["wide"]),
        helper.make_node("MatMul", ["wide", "fold"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    outputs = {"probabilities": ("N", 2)}
    weights = package_parts.graph(
        nodes, constants={"matrix": matrix, "fold": fold}, inputs=("N", 1, 8, 8), outputs=outputs
    )
    fields = {
        "name": "heavy", "version": number, "description": "Large.", "task": "classification", "architecture": "tiny",
        "input": {**INPUT, "steps": package_parts.TO_UNIT}, "classes": [{"label": "a"}, {"label": "b"}],
        "activation": "softmax", "receptive_field": 8, "stride": 8,
    }  # fmt: skip
    return package_parts.write_package(root, fields, weights, package_parts.ramp(1, 8))


def pss_bytes() -> int:
    return int(psutil.Process().memory_full_info().pss)


async def test_memory_does_not_grow_over_20_swaps(tmp_path: Path) -> None:
    sessions, used = SessionTracker(), []

    async def publish(_: Repository) -> None: ...

    settings = Settings(models=tmp_path / "models", device="cpu", session_threads=1)
    reconciler = loader.create_reconciler(settings, sessions, publish=publish)
    packages = [heavy(tmp_path / "made", f"1.{n}") for n in range(FIRST + SWAPS)]
    (tmp_path / "models/heavy").mkdir(parents=True)
    for n, package in enumerate(packages):
        package.folder.rename(tmp_path / "models/heavy" / package.folder.name)
        await reconciler.refresh()
        async with asyncio.timeout(120):
            while reconciler.draining:
                await asyncio.sleep(0.01)
        assert sessions.alive_count() == 1
        assert reconciler.repository.served["heavy"].spec.version == f"1.{n}"
        used.append(pss_bytes())
    reconciler.close()
    assert len(sessions.sessions) == FIRST + SWAPS
    first, last = median(used[FIRST : FIRST + 5]), median(used[-5:])  # one network more or less is 8 MB
    report = "MiB after each swap: " + " ".join(f"{each / 2**20:.0f}" for each in used)
    logging.getLogger(__name__).info(report)  # pytest --log-cli-level=info shows it
    assert last <= MOST_GROWTH * first, report
