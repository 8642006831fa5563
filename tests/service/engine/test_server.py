"""Tests of the engine server: front ends that end or send nonsense, and outputs that do not fit."""

import socket
from pathlib import Path

import pytest

from service.engine.messages import Outcome, RunRequest
from service.errors import NotReady
from service.scheduling.work import Deadline
from tests.service.engine.in_process_engine import engine, front_end, picture, remote, submit_image, until
from tests.service.gated_sessions import Gate

pytestmark = pytest.mark.anyio


@pytest.fixture
def gate() -> Gate:
    return Gate()


async def test_outputs_larger_than_their_slot_are_rejected(root: Path) -> None:
    async with engine(root) as (path, _), front_end(path) as there:
        index = list(there.served).index("blobs")
        request = RunRequest(
            0, model=index, outputs=1, channels=1, height=64, width=64, deadline_at=Deadline.after(120).at
        )
        answer = await remote(there).connection.run(picture(0.0, 1, 64, 64), request, output_bytes=0)
        assert answer.reply.outcome == Outcome.FAILED
        assert "((1, 2, 64, 64),), larger than described by rdf.yaml" in answer.text


async def test_a_front_end_that_ends_frees_its_places(root: Path, gate: Gate) -> None:
    async with engine(root, gate.session) as (path, here), front_end(path) as there:
        gate.shut()
        stays = submit_image(there, 0.9)
        async with front_end(path) as leaving:
            tasks = [submit_image(leaving, 0.1) for _ in range(3)]
            await until(lambda: here.served["brightness"].batcher.depth == 4)
        for task in tasks:
            with pytest.raises(NotReady):
                await task
        await until(lambda: here.served["brightness"].batcher.depth == 1)
        gate.open()
        assert (await stays).outputs["probabilities"][0, 1] > 0.5


async def test_a_connection_that_sends_nonsense_is_ignored(root: Path) -> None:
    async with engine(root) as (path, _):
        for message in (b"", b"\0"):  # it ends at once; it sends no memory
            with socket.socket(socket.AF_UNIX) as stranger:
                stranger.connect(str(path))
                stranger.send(message)
        async with front_end(path) as there:
            assert (await submit_image(there, 0.9)).batch_size == 1
