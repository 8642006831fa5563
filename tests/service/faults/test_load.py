"""Many requests at once, with a network that takes its time: who waits, and who is refused."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import httpx
import pytest

from service.http.application import create_app
from service.settings import Settings
from tests.conftest import Client
from tests.service.exposition import depth, metric, wait_for_line
from tests.service.gated_sessions import Gate
from tests.service.image_files import form, grey
from tests.service.request_mixture import CALLERS, converse
from tests.serving import served

pytestmark = pytest.mark.anyio


async def test_a_full_queue_is_told_at_once_and_when_to_come_back(serving: Client, gate: Gate) -> None:
    async with serving(open_session=gate.session, queue_length=2) as http:
        gate.shut()
        accepted = [asyncio.create_task(http.post("/predict", files=form(grey(v)))) for v in (1, 2)]
        await wait_for_line(http, 'striate_queue_depth{model="brightness"} 2.0')
        refused = await http.post("/predict", files=form(grey(3)))
        gate.open()
        assert [(await task).status_code for task in accepted] == [200, 200]
        after = await http.post("/predict", files=form(grey(3)))
        metrics = (await http.get("/metrics")).text
    assert (refused.status_code, refused.json()["code"]) == (429, "queue_full")
    assert 1 <= int(refused.headers["Retry-After"]) <= 10  # by what a run took when it was measured
    assert after.status_code == 200
    assert 'striate_rejections_total{reason="queue_full"} 1.0' in metrics
    assert 'striate_queue_depth{model="brightness"} 0.0' in metrics


async def test_a_deadline_that_passes_is_told(serving: Client, gate: Gate) -> None:
    async with serving(open_session=gate.session, timeout_s=1.0) as http:
        gate.shut()
        started = time.monotonic()
        late = await asyncio.gather(*(http.post("/predict", files=form(grey(value))) for value in (1, 2)))
        assert time.monotonic() - started < 60  # the network would hold them for 120
        gate.open()
        async with asyncio.timeout(60):
            while (await http.post("/predict", files=form(grey(1)))).status_code != 200:
                pass  # where the machine makes it late too
    assert [(response.status_code, response.json()["code"]) for response in late] == [(504, "deadline_passed")] * 2
    assert "1 s" in late[0].json()["error"]


async def test_images_that_wait_to_be_decoded_are_bounded_too(serving: Client) -> None:
    large = grey(9, height=100, width=100)  # a small one would be decoded where it is
    async with serving(queue_length=1, worker_threads=1) as http:
        answers = await asyncio.gather(*(http.post("/predict", files=form(large)) for _ in range(20)))
        after = await http.post("/predict", files=form(grey(9)))
    assert {answer.status_code for answer in answers} == {200, 429}
    assert after.status_code == 200


async def test_many_requests_at_once_each_get_their_own_answer(serving: Client) -> None:
    async with serving() as http:
        values = list(range(0, 250, 10))
        answers = await asyncio.gather(*(http.post("/predict", files=form(grey(value))) for value in values))
    bright = [{c["label"]: c["probability"] for c in answer.json()["classes"]}["bright"] for answer in answers]
    assert bright == sorted(bright)
    assert len(set(bright)) == len(values)


async def test_not_ready_until_the_models_are_loaded(serving: Client, root: Path, gate: Gate) -> None:
    gate.shut()
    app = create_app(Settings(models=root, device="cpu"), open_session=gate.session)
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://striate")
    async with app.router.lifespan_context(app), client as http:
        early = [await http.get(path) for path in ("/livez", "/readyz", "/models")]
        asked = await http.post("/predict", files=form(grey(1)))
        gate.open()
        async with asyncio.timeout(60):
            while (await http.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.01)
    assert [response.status_code for response in early] == [200, 503, 503]
    assert (asked.status_code, asked.json()["code"], asked.headers["Retry-After"]) == (503, "not_ready", "5")


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [12, pytest.param(60, marks=pytest.mark.long)])
async def test_the_mixture_over_sockets(root: Path, tmp_path: Path, seconds: float) -> None:
    limits = httpx.Limits(max_connections=CALLERS)
    with served(tmp_path / "log", STRIATE_MODELS=str(root), STRIATE_TILE_PX="64", STRIATE_QUEUE_LENGTH="1000") as (
        own,
        _,
    ):
        async with httpx.AsyncClient(base_url=own.base_url, limits=limits, timeout=120) as http:
            asked = await converse(http, seconds=seconds)
        metrics = own.get("/metrics").text
    assert asked > CALLERS
    assert metric(metrics, "striate_in_flight_requests") == 1
    assert metric(metrics, "striate_queue_depth") == 0
    assert metric(metrics, "striate_requests_total", status="500") == 0


LONG_JOBS = {
    "a long list": ("/predict", [grey(value) for value in range(64)], {}, 1),
    "six large images": ("/segment", [grey(9, height=640, width=640)], {"model": "blobs"}, 6),  # of a hundred tiles
}


@pytest.mark.parametrize("job", LONG_JOBS)
async def test_long_jobs_do_not_keep_a_small_one_waiting(serving: Client, gate: Gate, job: str) -> None:
    """Whoever asks for one image waits for the run under way, and for no more of the long jobs."""
    path, images, options, times = LONG_JOBS[job]
    model = options.get("model", "brightness")
    async with serving(open_session=gate.session, tile_px=64) as http:
        gate.shut()
        long = [asyncio.create_task(http.post(path, files=form(*images), data=options)) for _ in range(times)]
        async with asyncio.timeout(60):
            while await depth(http, model) < 6:
                await asyncio.sleep(0.01)
        await step(gate, runs=12)  # the jobs are under way, the first tile of each has run
        waits = await steady(partial(depth, http, model))
        small = asyncio.create_task(http.post(path, files=form(grey(1)), data=options))
        await wait_for_line(http, f'striate_queue_depth{{model="{model}"}} {waits + 1}')
        await step(gate, runs=2)  # the one that had begun, and the small one's
        async with asyncio.timeout(60):
            assert (await small).status_code == 200
        assert not any(job.done() for job in long)
        gate.open()
        assert [answer.status_code for answer in await asyncio.gather(*long)] == [200] * times


async def steady(read: Callable[[], Awaitable[float]]) -> float:
    """What is read when it has been the same ten times: all that the last run set off has happened."""
    last = [await read()]
    async with asyncio.timeout(60):
        while len(last) < 10:
            await asyncio.sleep(0.01)
            now = await read()
            last = [*last, now] if now == last[0] else [now]
    return last[0]


async def step(gate: Gate, *, runs: int) -> None:
    """Lets so many runs through, one after another, until the next has begun and waits."""
    for _ in range(runs):
        began = len(gate.runs)
        gate.open(1)
        async with asyncio.timeout(60):
            while len(gate.runs) == began:
                await asyncio.sleep(0.002)
