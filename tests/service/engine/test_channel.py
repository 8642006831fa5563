"""Tests of the channel: cancelled requests, full memory, failures, and reconnecting to the next engine."""

import asyncio
import mmap
from pathlib import Path

import pytest

from service.engine import channel
from service.engine.client import follow_engine
from service.engine.messages import RunRequest
from service.engine.server import EngineServer, catalogue_message
from service.engine.shared_memory import SlotAllocator
from service.errors import NotReady, QueueFull
from service.inference import InferenceFailed
from service.repository import loader
from service.repository.state import Repository
from service.settings import Settings
from tests.service.engine.in_process_engine import (
    accept_front_end,
    engine,
    front_end,
    is_idle,
    listening,
    picture,
    remote,
    submit,
    submit_image,
    until,
)
from tests.service.gated_sessions import Gate

pytestmark = pytest.mark.anyio


@pytest.fixture
def gate() -> Gate:
    return Gate()


async def test_a_cancelled_request_frees_its_place_in_the_engine(root: Path, gate: Gate) -> None:
    async with engine(root, gate.session) as (path, here), front_end(path) as there:
        gate.runs.clear()
        gate.shut()
        first, second = submit_image(there, 0.0), submit_image(there, 0.1)
        await until(lambda: here.served["brightness"].batcher.depth == 2)
        second.cancel()
        await until(lambda: here.served["brightness"].batcher.depth == 1)
        first.cancel()  # it runs: its result is nobody's, and its place is free when the run ends
        await until(lambda: is_idle(there))
        assert here.served["brightness"].batcher.depth == 1
        gate.open()
        await until(lambda: here.served["brightness"].batcher.depth == 0)
        assert (await submit_image(there, 0.9)).outputs["probabilities"][0, 1] > 0.5
        assert gate.runs == [1, 1]


async def test_a_request_cancelled_during_its_copy_is_never_sent(root: Path, gate: Gate) -> None:
    async with engine(root, gate.session) as (path, _), front_end(path) as there:
        gate.runs.clear()
        task = asyncio.create_task(submit(there.served["blobs"].batcher, picture(1.0, 1, 2048, 2048)))
        await asyncio.sleep(0)
        task.cancel()
        await until(lambda: is_idle(there))
        assert gate.runs == []


async def test_a_front_end_with_full_memory_rejects_requests(root: Path, gate: Gate) -> None:
    async with engine(root, gate.session) as (path, _), front_end(path) as there:
        remote(there).connection.slots = SlotAllocator(2 * mmap.PAGESIZE)
        gate.shut()
        tasks = [submit_image(there, 0.1), submit_image(there, 0.9)]
        await asyncio.sleep(0)
        with pytest.raises(QueueFull, match=r"^The queue is full \(2 images\)\."):
            await submit_image(there, 0.2)
        gate.open()
        assert len(await asyncio.gather(*tasks)) == 2
        assert (await submit_image(there, 0.3)).batch_size == 1


async def test_unused_memory_is_returned_to_the_system(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "RETAINED_BYTES", mmap.PAGESIZE)
    async with engine(root) as (path, _), front_end(path) as there:
        memory = remote(there).connection.memory
        await submit(there.served["blobs"].batcher, picture(255.0, 1, 64, 64))
        assert memory.array(0, (512,)).all()
        assert not memory.array(mmap.PAGESIZE, (3 * 1024,)).any()


async def test_a_failed_run_affects_only_its_caller(root: Path, gate: Gate) -> None:
    async with engine(root, gate.session) as (path, here), front_end(path) as there:
        with pytest.raises(InferenceFailed) as wanted:
            await submit(here.served["brightness"].batcher, picture(0.5, 1, 7, 7))
        with pytest.raises(InferenceFailed) as failed:
            await submit(there.served["brightness"].batcher, picture(0.5, 1, 7, 7))
        assert str(failed.value) == str(wanted.value)
        assert (await submit_image(there, 0.9)).batch_size == 1


async def test_an_unexpected_exception_in_the_engine_reaches_the_front_end(
    root: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: int) -> None:
        raise ZeroDivisionError

    async with engine(root, gate.session) as (path, _), front_end(path) as there:
        with monkeypatch.context() as patch:
            patch.setattr(gate, "passed", broken)
            with pytest.raises(RuntimeError, match="ZeroDivisionError in the engine"):
                await submit_image(there, 0.5)
        assert (await submit_image(there, 0.9)).batch_size == 1


async def test_a_front_end_reconnects_to_the_next_engine(root: Path) -> None:
    loop = asyncio.get_running_loop()
    repositories: list[Repository] = []
    losses: list[int] = []

    async def on_connect(repository: Repository) -> None:
        repositories.append(repository)

    def on_loss() -> None:
        losses.append(len(repositories))

    async with listening() as (path, listener):
        following = asyncio.create_task(
            follow_engine(path, length=4, wanted=(), on_connect=on_connect, on_loss=on_loss)
        )
        (await accept_front_end(listener, b"\x08")).close()  # it ends while it sends its catalogue
        server = EngineServer()
        settings = Settings(models=root, device="cpu", session_threads=1)
        reconciler = loader.create_reconciler(settings, publish=server.publish)
        loaded = await reconciler.refresh()
        connection = await accept_front_end(listener, catalogue_message(loaded))
        await until(lambda: len(repositories) == 1)
        task = submit_image(repositories[0], 0.5)
        assert len(await loop.sock_recv(connection, 1000)) == len(RunRequest(0).pack())
        connection.close()  # as when an engine is killed
        with pytest.raises(NotReady, match="has ended"):
            await task
        with pytest.raises(NotReady, match="has ended"):
            await submit_image(repositories[0], 0.5)
        assert losses == [1]
        serving = asyncio.create_task(server.serve(listener))
        await until(lambda: len(repositories) == 2)
        assert (await submit_image(repositories[1], 0.5)).batch_size == 1
        serving.cancel()
        await asyncio.wait([serving])
        repositories[1].close()
        listener.close()  # the parent has ended
        await asyncio.wait_for(following, timeout=60)
        reconciler.close()
