"""Callers, front ends and engines that leave, fail or bring nonsense: nobody else suffers, and nothing is lost."""

import asyncio
import mmap
import socket
from pathlib import Path

import pytest

from service.engine import channel
from service.engine.client import follow
from service.engine.messages import Ask, Outcome
from service.engine.server import EngineServer, greeting
from service.engine.shared_memory import Slots
from service.errors import NotReady, QueueFull
from service.inference import InferenceFailed
from service.repository import loader
from service.repository.state import Repository
from service.scheduling.work import Deadline
from service.settings import Settings
from tests.service.engine.in_process_engine import (
    asked,
    asking,
    engine,
    front_end,
    listening,
    nothing_is_in_use,
    picture,
    remote,
    take_in,
    until,
)
from tests.service.gated_sessions import Gate

pytestmark = pytest.mark.anyio


@pytest.fixture
def gate() -> Gate:
    return Gate()


async def test_who_leaves_frees_a_place_in_the_engine(root: Path, gate: Gate) -> None:
    async with engine(root, gate.session) as (path, here), front_end(path) as there:
        gate.runs.clear()
        gate.shut()
        first, second = asking(there, 0.0), asking(there, 0.1)
        await until(lambda: here.served["brightness"].batcher.depth == 2)
        second.cancel()
        await until(lambda: here.served["brightness"].batcher.depth == 1)
        first.cancel()  # it runs: its result is nobody's, and its place is free when the run ends
        await until(lambda: nothing_is_in_use(there))
        assert here.served["brightness"].batcher.depth == 1
        gate.open()
        await until(lambda: here.served["brightness"].batcher.depth == 0)
        assert (await asking(there, 0.9)).outputs["probabilities"][0, 1] > 0.5
        assert gate.runs == [1, 1]


async def test_who_leaves_while_a_large_tensor_is_copied_never_asks(root: Path, gate: Gate) -> None:
    async with engine(root, gate.session) as (path, _), front_end(path) as there:
        gate.runs.clear()
        task = asyncio.create_task(asked(there.served["blobs"].batcher, picture(1.0, 1, 2048, 2048)))
        await asyncio.sleep(0)
        task.cancel()
        await until(lambda: nothing_is_in_use(there))
        assert gate.runs == []


async def test_a_front_end_whose_memory_is_full_takes_no_more(root: Path, gate: Gate) -> None:
    async with engine(root, gate.session) as (path, _), front_end(path) as there:
        remote(there)._link._slots = Slots(2 * mmap.PAGESIZE)
        gate.shut()
        tasks = [asking(there, 0.1), asking(there, 0.9)]
        await asyncio.sleep(0)
        with pytest.raises(QueueFull, match=r"^The queue is full \(2 images\)\."):
            await asking(there, 0.2)
        gate.open()
        assert len(await asyncio.gather(*tasks)) == 2
        assert (await asking(there, 0.3)).batch_size == 1


async def test_much_memory_goes_back_to_the_system(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "KEPT", mmap.PAGESIZE)
    async with engine(root) as (path, _), front_end(path) as there:
        memory = remote(there)._link._memory
        await asked(there.served["blobs"].batcher, picture(255.0, 1, 64, 64))
        assert memory.array(0, (512,)).all()
        assert not memory.array(mmap.PAGESIZE, (3 * 1024,)).any()


async def test_what_fails_in_the_engine_fails_for_its_caller_alone(root: Path, gate: Gate) -> None:
    async with engine(root, gate.session) as (path, here), front_end(path) as there:
        with pytest.raises(InferenceFailed) as wanted:
            await asked(here.served["brightness"].batcher, picture(0.5, 1, 7, 7))
        with pytest.raises(InferenceFailed) as failed:
            await asked(there.served["brightness"].batcher, picture(0.5, 1, 7, 7))
        assert str(failed.value) == str(wanted.value)
        assert (await asking(there, 0.9)).batch_size == 1


async def test_a_bug_in_the_engine_is_one_in_the_front_end(
    root: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: int) -> None:
        raise ZeroDivisionError

    async with engine(root, gate.session) as (path, _), front_end(path) as there:
        with monkeypatch.context() as patch:
            patch.setattr(gate, "passed", broken)
            with pytest.raises(RuntimeError, match="ZeroDivisionError in the engine"):
                await asking(there, 0.5)
        assert (await asking(there, 0.9)).batch_size == 1


async def test_outputs_that_do_not_fit_are_refused(root: Path) -> None:
    async with engine(root) as (path, _), front_end(path) as there:
        place = list(there.served).index("blobs")
        ask = Ask(0, model=place, outputs=1, channels=1, height=64, width=64, deadline_at=Deadline.after(120).at)
        answer = await remote(there)._link.ask(picture(0.0, 1, 64, 64), ask, room=0)  # as if it had one channel
        assert answer.reply.outcome == Outcome.FAILED
        assert "((1, 2, 64, 64),), larger than rdf.yaml describes" in answer.text


async def test_a_front_end_that_ends_frees_its_places(root: Path, gate: Gate) -> None:
    async with engine(root, gate.session) as (path, here), front_end(path) as there:
        gate.shut()
        stays = asking(there, 0.9)
        async with front_end(path) as leaving:
            tasks = [asking(leaving, 0.1) for _ in range(3)]
            await until(lambda: here.served["brightness"].batcher.depth == 4)
        for task in tasks:
            with pytest.raises(NotReady):
                await task
        await until(lambda: here.served["brightness"].batcher.depth == 1)
        gate.open()
        assert (await stays).outputs["probabilities"][0, 1] > 0.5


async def test_the_next_engine_is_joined_when_one_ends(root: Path) -> None:
    loop = asyncio.get_running_loop()
    repositories: list[Repository] = []
    losses: list[int] = []

    async def joined(repository: Repository) -> None:
        repositories.append(repository)

    def lost() -> None:
        losses.append(len(repositories))

    async with listening() as (path, listener):
        following = asyncio.create_task(follow(path, length=4, wanted=(), joined=joined, lost=lost))
        (await take_in(listener, b"\x08")).close()  # it ends while it says what it serves
        reception = EngineServer()
        settings = Settings(models=root, device="cpu", session_threads=1)
        keeper = loader.create_reconciler(settings, publish=reception.publish)
        loaded = await keeper.refresh()
        connection = await take_in(listener, greeting(loaded))
        await until(lambda: len(repositories) == 1)
        task = asking(repositories[0], 0.5)
        assert len(await loop.sock_recv(connection, 1000)) == len(Ask(0).packed())
        connection.close()  # all that is seen of an engine that was killed
        with pytest.raises(NotReady, match="has ended"):
            await task
        with pytest.raises(NotReady, match="has ended"):
            await asking(repositories[0], 0.5)
        assert losses == [1]
        serving = asyncio.create_task(reception.serve(listener))
        await until(lambda: len(repositories) == 2)
        assert (await asking(repositories[1], 0.5)).batch_size == 1
        serving.cancel()
        await asyncio.wait([serving])
        repositories[1].close()
        listener.close()  # the parent's end
        await asyncio.wait_for(following, timeout=60)
        keeper.close()


async def test_who_connects_and_says_nothing_sensible_harms_nobody(root: Path) -> None:
    async with engine(root) as (path, _):
        for says in (b"", b"\0"):  # it ends at once; it brings no memory
            with socket.socket(socket.AF_UNIX) as stranger:
                stranger.connect(str(path))
                stranger.send(says)
        async with front_end(path) as there:
            assert (await asking(there, 0.9)).batch_size == 1
