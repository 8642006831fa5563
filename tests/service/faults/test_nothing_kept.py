"""Nothing is kept of a request once it has ended, however it ended."""

import asyncio
import gc
import random
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.service.exposition import metric, wait_for_line
from tests.service.faults.listening_service import listening
from tests.service.gated_sessions import Gate
from tests.service.image_files import form
from tests.service.request_mixture import BAD, CALLERS, GOOD

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
SOME = 10  # what is made when it is first needed is fewer, what stays of one request in a hundred is more


def alive() -> Counter[str]:
    """How many there are of each of our classes, of tasks, and of timers that wait."""
    gc.collect()
    # Only of what may be counted: any attribute of some of torch's objects warns that it is deprecated.
    found = [each for each in gc.get_objects() if _counts(type(each))]
    kinds = (type(each) for each in found if not getattr(each, "_cancelled", False))
    return Counter(kind.__name__ for kind in kinds)


def _counts(kind: type) -> bool:
    return str(kind.__module__).startswith("service.") or issubclass(kind, asyncio.Task | asyncio.TimerHandle)


async def flood(http: httpx.AsyncClient, *, requests: int) -> Counter[int]:
    """Every question in any order from 64 callers, a third of whom do not wait. Returns how often each status came."""
    statuses: Counter[int] = Counter()

    async def caller(number: int) -> None:
        chance = random.Random(number)
        for _ in range(requests // CALLERS):
            question = chance.choice([*GOOD, *BAD])
            asking = http.post(question.path, files=form(*question.images), data=question.options)
            try:
                response = await asyncio.wait_for(asking, timeout=chance.choice((0.05, 60, 60)))
            except (TimeoutError, httpx.TransportError):  # answered while it still sends, it finds itself cut off
                continue
            statuses[response.status_code] += 1

    await asyncio.gather(*map(caller, range(CALLERS)))
    await wait_for_line(http, "striate_in_flight_requests 1.0")
    return statuses


@pytest.mark.parametrize("requests", [1000, pytest.param(3000, marks=pytest.mark.long)])
async def test_requests_leave_nothing_behind(root: Path, requests: int) -> None:
    """Answered, refused, late and left: no task, timer, item or image is kept."""
    async with listening(root, Gate(), queue_length=24, timeout_s=0.5, tile_px=64) as http:
        await flood(http, requests=300)
        before = alive()
        statuses = await flood(http, requests=requests)
        for _ in range(100):  # connections that are kept, and their timers, end by themselves
            kept = {kind: count for kind, count in (alive() - before).items() if count >= SOME}
            if not kept:
                break
            await asyncio.sleep(0.5)
        assert not kept
        left = metric((await http.get("/metrics")).text, "striate_requests_total", status="499")
    assert {200, 415, 422} <= set(statuses)
    assert {429, 504} & set(statuses)  # which of them, the machine decides
    assert left > 0
