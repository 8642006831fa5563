"""Callers who leave before their answer: their places are freed, and nothing runs for them."""

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.service.exposition import depth, metric, wait_for_line
from tests.service.faults.listening_service import listening
from tests.service.faults.long_job import AS_SMALL_TILES, LONG
from tests.service.gated_sessions import Gate
from tests.service.image_files import form, grey
from tests.serving import served

pytestmark = pytest.mark.anyio
GONE = 'striate_requests_total{route="/predict",status="499"}'


async def leaver(http: httpx.AsyncClient, image: bytes, *, share: float = 1.0) -> asyncio.StreamWriter:
    """A connection on which this share of a /predict request's body has been sent, and no answer is awaited."""
    request = http.build_request("POST", "/predict", files=form(image))
    lines = [f"{name}: {value}" for name, value in request.headers.items()]
    body = request.read()
    _, writer = await asyncio.open_connection(http.base_url.host, http.base_url.port)
    writer.write("\r\n".join(["POST /predict HTTP/1.1", *lines, "\r\n"]).encode() + body[: int(share * len(body))])
    await writer.drain()
    return writer


def waits(items: int) -> str:
    return f'striate_queue_depth{{model="brightness"}} {items}.0'


async def test_a_caller_who_leaves_while_its_image_waits_frees_its_place(root: Path, gate: Gate) -> None:
    async with listening(root, gate, queue_length=2) as http:
        gate.shut()
        gate.runs.clear()
        first = asyncio.create_task(http.post("/predict", files=form(grey(1))))
        await wait_for_line(http, waits(1))
        gone = await leaver(http, grey(2))
        await wait_for_line(http, waits(2))
        assert (await http.post("/predict", files=form(grey(3)))).status_code == 429
        gone.close()
        await wait_for_line(http, f"{GONE} 1.0")
        assert await depth(http, "brightness") == 1
        third = asyncio.create_task(http.post("/predict", files=form(grey(3))))
        await wait_for_line(http, waits(2))
        gate.open()
        assert [(await task).status_code for task in (first, third)] == [200, 200]
    assert gate.runs == [1, 1]  # nothing ran for the one who left


async def test_the_place_of_a_caller_who_leaves_while_its_image_runs_is_free_when_the_run_ends(
    root: Path, gate: Gate
) -> None:
    async with listening(root, gate, queue_length=1) as http:
        gate.shut()
        gone = await leaver(http, grey(1))
        await wait_for_line(http, waits(1))
        gone.close()
        await wait_for_line(http, f"{GONE} 1.0")
        assert await depth(http, "brightness") == 1  # its network runs, and is not asked to stop
        assert (await http.post("/predict", files=form(grey(2)))).status_code == 429
        gate.open()
        await wait_for_line(http, waits(0))
        assert (await http.post("/predict", files=form(grey(3)))).status_code == 200


async def test_a_caller_who_leaves_while_it_sends_is_not_waited_for(root: Path, gate: Gate) -> None:
    async with listening(root, gate) as http:
        gone = await leaver(http, grey(1), share=0.5)
        await wait_for_line(http, "striate_in_flight_requests 2.0")  # it, and the one that asks
        gone.close()
        await wait_for_line(http, f"{GONE} 1.0")
        await wait_for_line(http, "striate_in_flight_requests 1.0")


async def test_a_caller_of_many_images_who_leaves_frees_every_place(root: Path, gate: Gate) -> None:
    async with listening(root, gate, queue_length=8) as http:
        gate.shut()
        asking = asyncio.create_task(http.post("/predict", files=form(*map(grey, range(20)))))
        await wait_for_line(http, waits(4))  # one list takes half of the queue
        asking.cancel()  # closes the connection
        await wait_for_line(http, f"{GONE} 1.0")
        await wait_for_line(http, waits(1))  # the one that runs; none of those that waited
        gate.open()
        await wait_for_line(http, waits(0))
        assert (await http.post("/predict", files=form(grey(1)))).status_code == 200


async def runs(http: httpx.AsyncClient, model: str) -> float:
    return metric((await http.get("/metrics")).text, "striate_batch_size_count", model=model)


@pytest.mark.slow
async def test_a_caller_who_leaves_a_real_server_frees_its_place(root: Path, tmp_path: Path) -> None:
    with served(tmp_path / "log", STRIATE_MODELS=str(root), **AS_SMALL_TILES) as (own, _):
        async with httpx.AsyncClient(base_url=own.base_url, timeout=240) as http:
            long = asyncio.create_task(http.post("/segment", files=LONG, data={"model": "blobs"}))
            await wait_for_line(http, 'striate_queue_depth{model="blobs"} 1.0')
            long.cancel()  # closes the connection
            await wait_for_line(http, 'striate_requests_total{route="/segment",status="499"} 1.0')
            await wait_for_line(http, 'striate_queue_depth{model="blobs"} 0.0')
            ran = [await runs(http, "blobs")]
            await asyncio.sleep(1)
            ran.append(await runs(http, "blobs"))
    assert ran[0] == ran[1] < 3969  # the image's tiles
