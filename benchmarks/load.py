"""Load generator: closed loops for capacity, open loops for latency at a given rate."""

import asyncio
import gc
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import uvloop
from numpy.typing import NDArray

from benchmarks.client import Connection, Target, connect


@dataclass(slots=True)
class Load:
    """The result of a measurement. latencies_s: of each response with status 200, in order of arrival."""

    latencies_s: list[float] = field(default_factory=list)
    errors: int = 0
    last_error: str = ""
    seconds: float = 0.0

    @property
    def per_second(self) -> float:
        """The successful responses per second."""
        return len(self.latencies_s) / self.seconds

    def failed(self, why: str) -> None:
        self.errors += 1
        self.last_error = why

    @property
    def hopeless(self) -> bool:
        """Whether more requests fail than succeed, so that nothing can be measured."""
        return self.errors > 100 + len(self.latencies_s)

    def ms(self, percentile: float) -> float:
        return float(np.percentile(self.latencies_s, percentile)) * 1e3

    @property
    def p50(self) -> float:
        return self.ms(50)

    @property
    def p99(self) -> float:
        return self.ms(99)


def closed(target: Target, *, callers: int, seconds: float, at_least: int = 0) -> Load:
    """Runs callers that send their next request after each response, for `seconds` and at least `at_least` responses.

    Requests in progress at the end are awaited and count, with the time that they take: a fixed window would distort
    the results of servers that answer in batches.
    """
    return run(_closed(target, callers=callers, seconds=seconds, at_least=at_least))


def open_loop(target: Target, *, rate: float, seconds: float, seed: int) -> Load:
    """Sends requests at Poisson-distributed times, `rate` per second, whether or not earlier ones have been answered.

    Latency counts from the scheduled time, so that a stalled server or a late client cannot hide a wait (coordinated
    omission). It includes the timer's resolution of 1 ms.
    """
    moments = np.cumsum(np.random.default_rng(seed).exponential(1 / rate, max(1, round(rate * seconds))))
    return run(_open(target, moments))


def run(measurement: Coroutine[Any, Any, Load]) -> Load:
    """Runs a measurement. Raises RuntimeError if more requests fail than succeed."""
    with _no_collection():
        load = uvloop.run(measurement)
    if load.hopeless:
        raise RuntimeError(f"{load.errors} requests failed, {len(load.latencies_s)} did not: {load.last_error}")
    return load


@contextmanager
def _no_collection() -> Iterator[None]:
    """Disables the client's garbage collector, which must not affect the measured latency."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def _closed(target: Target, *, callers: int, seconds: float, at_least: int) -> Load:
    load = Load()
    connections = [await connect(target) for _ in range(callers)]
    started = time.perf_counter()

    async def caller(connection: Connection) -> None:
        while wanted() and not load.hopeless:
            connection = await _ask(connection, target, load, since=time.perf_counter())
        connection.close()

    def wanted() -> bool:
        return time.perf_counter() < started + seconds or len(load.latencies_s) + load.errors < at_least

    await asyncio.gather(*map(caller, connections))
    load.seconds = time.perf_counter() - started
    return load


async def _open(target: Target, moments: NDArray[np.float64]) -> Load:
    load = Load()
    idle = [await connect(target) for _ in range(8)]
    started = time.perf_counter()

    async def request(intended: float) -> None:
        connection = idle.pop() if idle else await connect(target)
        if not connection.is_open:  # nobody needed it for so long that the server has hung up, as it may
            connection = await connect(target)
        idle.append(await _ask(connection, target, load, since=intended))

    async with asyncio.TaskGroup() as group:
        for moment in started + moments:
            if load.hopeless:
                break
            while (early := moment - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            group.create_task(request(moment))
    load.seconds = time.perf_counter() - started
    for connection in idle:
        connection.close()
    return load


async def _ask(connection: Connection, target: Target, load: Load, *, since: float) -> Connection:
    """Asks once and counts it; the connection for the next request, a new one where the server hung up."""
    try:
        status = await connection.ask(target.request)
    except ConnectionError:
        load.failed("the connection was lost")
        return await connect(target)
    if status == 200:
        load.latencies_s.append(time.perf_counter() - since)
    else:
        load.failed(f"{status} {connection.body[:200]!r}")
    return connection
