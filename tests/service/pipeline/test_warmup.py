"""Tests of the warm-up: every model runs, and nothing is counted."""

from pathlib import Path

import pytest

from models.package import Package
from service.inference import Session
from service.pipeline.warmup import warm_up
from service.settings import Settings
from tests import tiny
from tests.service.gated_sessions import Gate
from tests.service.repository.loaded_repository import open_repository

pytestmark = pytest.mark.anyio


async def runs_of_warm_up(root: Path) -> dict[str, int]:
    """Warms up the models in a folder, and returns the number of runs of each; nothing of them is counted."""
    gates: dict[str, Gate] = {}

    def opened(package: Package) -> Session:
        return gates.setdefault(package.spec.name, Gate()).session(package)

    async with open_repository(root, opened) as repository:
        for gate in gates.values():
            gate.runs.clear()  # those that measured the network
        await warm_up(repository.served.values(), Settings())
        for model in repository.served.values():
            assert not any(spent.count for spent in model.statistics.parts.values())
            assert model.statistics.runs() == {}
    return {name: len(gate.runs) for name, gate in gates.items()}


async def test_every_model_answers_each_of_its_tasks(tmp_path: Path) -> None:
    for write in (tiny.brightness, tiny.corners, tiny.bases, tiny.blobs, tiny.tissue):
        write(tmp_path)
    runs = await runs_of_warm_up(tmp_path)
    # A classifier predicts, and shows its map or its layer; a segmenter is drawn and measured.
    assert runs == {"brightness": 2, "corners": 2, "bases": 2, "blobs": 2, "tissue": 2}


async def test_a_test_image_that_no_caller_may_send_is_left_out(tmp_path: Path) -> None:
    steps = ({"id": "ensure_dtype"}, {"id": "scale_linear", "gain": 1 / 255})
    tiny.brightness(tmp_path, input={"channels": 1, "size": (8, 8), "smallest_image": 9, "steps": steps})
    tiny.blobs(tmp_path)
    runs = await runs_of_warm_up(tmp_path)
    assert runs["brightness"] == 0 < runs["blobs"]


async def test_a_package_that_has_changed_keeps_no_other_from_its_warm_up(tmp_path: Path) -> None:
    for write in (tiny.brightness, tiny.blobs):
        write(tmp_path)
    gate = Gate()

    def opened(package: Package) -> Session:
        return (gate if package.spec.name == "blobs" else Gate()).session(package)

    async with open_repository(tmp_path, opened) as repository:
        (tmp_path / "brightness/1.0/test_input.npy").write_bytes(b"other")
        gate.runs.clear()
        await warm_up(repository.served.values(), Settings())
    assert gate.runs
