"""Tests of the engine client: a front end's batcher behaves like the engine's own."""

import asyncio
from pathlib import Path

import httpx
import numpy as np
import pytest

from service.errors import DeadlinePassed, QueueFull
from service.scheduling.work import Deadline, Priority
from tests import tiny
from tests.conftest import Client
from tests.service.engine.in_process_engine import (
    engine,
    front_end,
    is_idle,
    remote,
    submit,
    submit_image,
    until,
)
from tests.service.gated_sessions import Gate
from tests.service.image_files import form, grey

pytestmark = pytest.mark.anyio
OUTPUTS = {"brightness": ("probabilities", "cam"), "blobs": ("probabilities",), "tissue": ("probabilities",)}


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("brightness", (1, 8, 8)),
        ("blobs", (1, 64, 96)),
        ("blobs", (1, 1024, 520)),  # 2 MB in and 4 MB out: copied in threads
        ("tissue", (3, 37, 51)),  # nothing is a multiple of anything
    ],
)
async def test_outputs_equal_those_of_a_single_process(root: Path, name: str, shape: tuple[int, ...]) -> None:
    tensor = np.random.default_rng(0).uniform(0, 255, (1, *shape)).astype(np.float32)
    async with engine(root) as (path, here), front_end(path) as there:
        wanted = await submit(here.served[name].batcher, tensor, OUTPUTS[name])
        ran = await submit(there.served[name].batcher, tensor, OUTPUTS[name])
        assert list(ran.outputs) == list(OUTPUTS[name])
        for output in OUTPUTS[name]:
            np.testing.assert_array_equal(ran.outputs[output], wanted.outputs[output])
        assert ran.infer_s > 0
        assert ran.batch_size == 1
        one = await submit(
            there.served[name].batcher, tensor[:, ::-1], OUTPUTS[name][-1:]
        )  # a view that is not contiguous
        assert list(one.outputs) == [OUTPUTS[name][-1]]
        assert is_idle(there)


async def test_a_front_end_has_the_engines_repository(root: Path, tmp_path: Path) -> None:
    tiny.brightness(tmp_path)
    tiny.blobs(tmp_path).weights.write_bytes(b"")
    async with engine(tmp_path) as (path, here), front_end(path) as there:
        assert there.invalid == here.invalid
        assert there.invalid[0].name == "blobs"
        assert list(there.served) == ["brightness"]
        assert there.served["brightness"].package == here.served["brightness"].package
        assert there.served["brightness"].provider == "CPUExecutionProvider"


async def test_the_application_answers_as_a_single_process(root: Path, serving: Client) -> None:
    async def facts(http: httpx.AsyncClient) -> tuple[object, object]:
        assert (await http.get("/readyz")).status_code == 200
        predicted = await http.post("/predict", files=form(grey(204)))
        return (await http.get("/models")).json(), predicted.json()["classes"]

    async with serving(models=root) as http:
        alone = await facts(http)
    async with engine(root) as (path, _), serving(models=root, engine_socket=str(path)) as http:
        assert await facts(http) == alone
        metrics = (await http.get("/metrics")).text
    assert 'striate_model_ready{model="brightness",version="1.0"} 1.0' in metrics
    assert 'striate_batch_size_count{model="brightness"} 1.0' in metrics


async def test_items_of_several_front_ends_run_in_one_batch(root: Path, gate: Gate) -> None:
    async with engine(root, gate.batching_session) as (path, here), front_end(path) as one, front_end(path) as other:
        gate.runs.clear()
        gate.shut()
        tasks = [submit_image(one, 0.0)]
        await until(lambda: gate.runs == [1])
        tasks += [submit_image(one, 0.1), submit_image(other, 0.9), submit_image(one, 0.2), submit_image(other, 0.8)]
        await until(lambda: here.served["brightness"].batcher.depth == 5)
        assert (remote(one).depth, remote(other).depth) == (3, 2)
        gate.open()
        ran = await asyncio.gather(*tasks)
        assert gate.runs == [1, 4]
        assert [each.batch_size for each in ran] == [1, 4, 4, 4, 4]
        bright = [float(each.outputs["probabilities"][0, 1]) for each in ran]
        assert [value > 0.5 for value in bright] == [False, False, True, False, True]
        assert ran[1].queue_s > 0
        assert is_idle(one)
        assert is_idle(other)
        assert remote(one).depth == 0


async def test_priorities_and_deadlines_reach_the_engine(root: Path, gate: Gate) -> None:
    ended: list[str] = []
    async with engine(root, gate.session) as (path, here), front_end(path) as there:
        gate.runs.clear()
        gate.shut()
        tasks = {"first": submit_image(there, 0.0)}
        await until(lambda: gate.runs == [1])
        tasks["bulk"] = submit_image(there, 0.1, priority=Priority.BULK)
        await until(lambda: here.served["brightness"].batcher.depth == 2)
        tasks["interactive"] = submit_image(there, 0.2)
        tasks["late"] = submit_image(there, 0.3, deadline=Deadline.after(0.02))
        for name, task in tasks.items():
            task.add_done_callback(lambda _, name=name: ended.append(name))
        await until(lambda: here.served["brightness"].batcher.depth == 4)
        await asyncio.sleep(0.05)
        gate.open()
        await asyncio.wait(tasks.values())
        with pytest.raises(DeadlinePassed, match=r"within 0\.02 s"):
            tasks["late"].result()
        assert ended.index("interactive") < ended.index("bulk")
        assert gate.runs == [1, 1, 1]  # the late item never ran
        assert is_idle(there)


async def test_the_queue_limit_applies_to_all_front_ends_together(root: Path, gate: Gate) -> None:
    async with (
        engine(root, gate.session, length=2) as (path, here),
        front_end(path, length=2) as one,
        front_end(path, length=2) as other,
    ):
        gate.shut()
        tasks = [submit_image(one, 0.1), submit_image(other, 0.9)]
        await until(lambda: here.served["brightness"].batcher.depth == 2)
        with pytest.raises(QueueFull, match=r"^The queue is full \(2 images\)\.") as full:
            await submit_image(one, 0.2)
        assert full.value.retry_after_s >= 1
        tasks.append(submit_image(other, 0.3, has_place=True))  # a later tile of an admitted image
        await until(lambda: here.served["brightness"].batcher.depth == 3)
        gate.open()
        assert len(await asyncio.gather(*tasks)) == 3
