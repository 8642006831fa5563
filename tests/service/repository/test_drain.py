"""Tests of draining: a version that was replaced is freed when the last request that uses it has ended."""

import asyncio
from pathlib import Path

import pytest

from service.repository.drain import Drain
from service.repository.state import Repository, ServedModel
from tests.service.repository.versions import write_version

pytestmark = pytest.mark.anyio


class CountedBatcher:
    """A batcher that counts how often it was closed."""

    provider, depth, loaded, closed = "CPUExecutionProvider", 0, True, 0

    def close(self) -> None:
        self.closed += 1

    async def aclose(self) -> None:
        self.closed += 1


def served(root: Path, number: str) -> ServedModel:
    return ServedModel(write_version(root, number), "CPUExecutionProvider", CountedBatcher())  # type: ignore[arg-type]


@pytest.fixture
def states(tmp_path: Path) -> tuple[Repository, Repository]:
    """One version that stays, and one that is replaced by another."""
    stays, old, new = (served(tmp_path, number) for number in ("1.0", "2.0", "3.0"))
    return Repository({"stays": stays, "changes": old}), Repository({"stays": stays, "changes": new})


async def test_a_version_is_freed_after_its_last_request(states: tuple[Repository, Repository]) -> None:
    former, current = states
    draining, used = Drain(), former.served["changes"]
    with used.use:
        draining.begin(former, current)
        await asyncio.sleep(0.01)
        assert (len(draining), used.batcher.closed) == (1, 0)
    while draining:
        await asyncio.sleep(0)
    assert used.batcher.closed == 1
    assert [model.batcher.closed for model in current.all_models()] == [0, 0]


async def test_closing_waits_for_nobody(states: tuple[Repository, Repository]) -> None:
    former, current = states
    draining, used = Drain(), former.served["changes"]
    with used.use:
        draining.begin(former, current)
        await asyncio.sleep(0)
        draining.close()
        assert used.batcher.closed == 1
