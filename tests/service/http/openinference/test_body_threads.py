"""Tests of threads for large bodies: their memory is held until they end, and they are few."""

import asyncio
import threading

import pytest

from service.http.openinference.body_threads import BodyThreads
from service.scheduling.memory_budget import MemoryBudget
from service.scheduling.work import Reservation
from tests.service.scheduling.doubling_network import until

pytestmark = pytest.mark.anyio
MIB = 2**20


async def test_a_small_body_stays_in_the_event_loop() -> None:
    threads = BodyThreads(1)
    assert await threads.run(threading.current_thread, Reservation(), nbytes=1000) is threading.current_thread()
    assert await threads.run(threading.current_thread, Reservation(), nbytes=MIB) is not threading.current_thread()


async def test_a_small_body_does_not_wait_behind_large_ones() -> None:
    gate, threads = threading.Event(), BodyThreads(1)
    large = [asyncio.create_task(threads.run(lambda: gate.wait(60), Reservation(), nbytes=2 * MIB)) for _ in range(3)]
    async with asyncio.timeout(30):
        assert await threads.run(lambda: "answered", Reservation(), nbytes=MIB) == "answered"
    gate.set()
    await asyncio.gather(*large)


async def test_memory_is_held_until_the_thread_ends_though_the_caller_has_gone() -> None:
    budget, gate, threads = MemoryBudget(20 * MIB), threading.Event(), BodyThreads(1)
    with Reservation(budget) as request, Reservation(budget) as waiting:
        request.reserve_body(4 * MIB)
        waiting.reserve_body(5 * MIB)
        running = asyncio.create_task(threads.run(lambda: gate.wait(60), request, nbytes=4 * MIB))
        behind = asyncio.create_task(threads.run(lambda: None, waiting, nbytes=5 * MIB))
        await asyncio.sleep(0.05)
        running.cancel()
        behind.cancel()
        await asyncio.gather(running, behind, return_exceptions=True)
    assert budget.reserved_bytes == 4 * MIB  # the other has never begun
    gate.set()
    await until(lambda: budget.reserved_bytes == 0)


async def test_an_error_is_raised_and_gives_back() -> None:
    budget, threads = MemoryBudget(10 * MIB), BodyThreads(1)
    with Reservation(budget) as request:
        request.reserve_body(2 * MIB)
        with pytest.raises(LookupError):
            await threads.run(lambda: {}["none"], request, nbytes=MIB)
    await until(lambda: budget.reserved_bytes == 0)
