"""The event loop under load: free for everyone, whatever a network or a large image needs."""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest

from service.encode.png_writer import png
from tests.conftest import Client
from tests.service.exposition import metric, wait_for_line
from tests.service.gated_sessions import Gate
from tests.service.image_files import form, grey
from tests.service.request_mixture import CALLERS, converse, squares

pytestmark = pytest.mark.anyio

BEAT_S = 0.01
MOST_LATE_S = 0.2  # 0.006 to 0.016 were measured; the machine may be shared


async def test_the_event_loop_answers_while_a_network_runs(serving: Client, gate: Gate) -> None:
    async with serving(open_session=gate.session) as http:
        gate.shut()
        slow = asyncio.create_task(http.post("/predict", files=form(grey(1))))
        await wait_for_line(http, 'striate_queue_depth{model="brightness"} 1.0')
        for _ in range(20):
            assert (await http.get("/livez")).status_code == 200
        other = await http.post("/segment", files=form(b"nothing"), data={"model": "blobs"})
        assert not slow.done()
        gate.open()
        assert (await slow).status_code == 200
    assert other.status_code == 415


@asynccontextmanager
async def heartbeat() -> AsyncIterator[list[float]]:
    """[by how many seconds the event loop was late at worst], while the block runs."""
    longest = [0.0]

    async def beat() -> None:
        while True:
            due = time.monotonic() + BEAT_S
            await asyncio.sleep(BEAT_S)
            longest[0] = max(longest[0], time.monotonic() - due)

    heart = asyncio.create_task(beat())
    await asyncio.sleep(2 * BEAT_S)
    yield longest
    await asyncio.sleep(2 * BEAT_S)  # what the block ended with must be felt too
    heart.cancel()


async def test_a_mixture_is_answered_as_each_question_is_alone(serving: Client, gate: Gate) -> None:
    """64 callers, all endpoints and sizes, one in ten bad: all rightly; the event loop goes on; nothing is left."""
    async with serving(open_session=gate.batching_session, tile_px=64, queue_length=1000) as http:
        before = asyncio.all_tasks()
        async with heartbeat() as longest:
            asked = await converse(http, seconds=5)
        metrics = (await http.get("/metrics")).text
        async with asyncio.timeout(60):
            while not asyncio.all_tasks() <= before:  # what was cancelled takes note of it
                await asyncio.sleep(0.01)
    assert asked >= CALLERS
    assert metric(metrics, "striate_in_flight_requests") == 1  # the one that asks
    assert metric(metrics, "striate_queue_depth") == 0
    assert metric(metrics, "striate_requests_total", status="500") == 0
    assert metric(metrics, "striate_batch_size_sum") > metric(metrics, "striate_batch_size_count")  # some ran together
    assert longest[0] < 50 * MOST_LATE_S  # with 64 callers in the same loop, and whoever else uses the machine


NOISE = png(np.random.default_rng(9).integers(0, 256, (3000, 3000, 3)).astype(np.uint8))
SHEET = png(np.kron(squares(500, 500, seed=8), np.ones((5, 5), np.uint8)))
LARGE: dict[str, tuple[str, bytes, dict[str, str]]] = {
    "predict": ("/predict", NOISE, {}),
    **{kind: ("/segment", SHEET, {"model": "blobs", "format": kind}) for kind in ("labels", "overlay", "measurements")},
}


@pytest.mark.parametrize("what", LARGE)
async def test_the_event_loop_stays_free_whatever_a_large_image_needs(serving: Client, gate: Gate, what: str) -> None:
    """Preparing 9 megapixels, running a network, separating and measuring objects each take longer than MOST_LATE_S.

    What the service does in the loop makes it late every time, what else runs on the machine does not: 20 attempts.
    """
    path, image, options = LARGE[what]
    late: list[float] = []
    async with serving(open_session=gate.session, tile_px=4096) as http:
        gate.run_s = 2 * MOST_LATE_S
        while len(late) < 20 and min(late, default=math.inf) >= MOST_LATE_S:
            async with heartbeat() as longest:
                assert (await http.post(path, files=form(image), data=options)).status_code == 200
            late += longest
    assert min(late) < MOST_LATE_S
