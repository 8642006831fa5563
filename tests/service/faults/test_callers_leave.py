"""What goes wrong from outside: callers who leave, networks that fail, an end that comes while requests run."""

import asyncio
import gc
import math
import threading
import time
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn
from onnx import TensorProto, helper

from service.http.application import create_app
from service.scheduling.scheduler import Scheduler
from service.scheduling.work import Deadline, Work
from service.settings import Settings
from tests import package_parts
from tests.conftest import Client
from tests.service.faults.test_load import depth, metric
from tests.service.gated_sessions import Gate
from tests.service.image_files import form, grey
from tests.service.test_main import served
from tests.serving import free_port

pytestmark = pytest.mark.anyio
GONE = 'striate_requests_total{route="/predict",status="499"}'


@pytest.fixture
def gate() -> Gate:
    return Gate()


@asynccontextmanager
async def listening(models: Path, gate: Gate, **fields: Any) -> AsyncIterator[httpx.AsyncClient]:
    """The application behind a real socket of this process, its networks behind the gate; a client of it."""
    settings = Settings(models=models, device="cpu", session_threads=1, worker_threads=2, **fields)
    app = create_app(settings, open_session=gate.session)
    server = uvicorn.Server(uvicorn.Config(app, port=free_port(), log_config=None, ws="none"))
    running = asyncio.create_task(server.serve())
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.config.port}", timeout=120) as http:
        async with asyncio.timeout(120):
            while not server.started or (await http.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.01)
        try:
            yield http
        finally:
            server.should_exit = True
            await running


async def leaver(http: httpx.AsyncClient, image: bytes, *, share: float = 1.0) -> asyncio.StreamWriter:
    """A connection on which this share of a /predict request's body has been sent, and no answer is awaited."""
    request = http.build_request("POST", "/predict", files=form(image))
    lines = [f"{name}: {value}" for name, value in request.headers.items()]
    body = request.read()
    _, writer = await asyncio.open_connection(http.base_url.host, http.base_url.port)
    writer.write("\r\n".join(["POST /predict HTTP/1.1", *lines, "\r\n"]).encode() + body[: int(share * len(body))])
    await writer.drain()
    return writer


async def told(http: httpx.AsyncClient, line: str) -> None:
    """Returns once the metrics have the line."""
    async with asyncio.timeout(120):
        while line not in (await http.get("/metrics")).text.splitlines():
            await asyncio.sleep(0.01)


def waits(items: int) -> str:
    return f'striate_queue_depth{{model="brightness"}} {items}.0'


async def test_a_caller_who_leaves_while_its_image_waits_frees_its_place(root: Path, gate: Gate) -> None:
    async with listening(root, gate, queue_length=2) as http:
        gate.shut()
        gate.runs.clear()
        first = asyncio.create_task(http.post("/predict", files=form(grey(1))))
        await told(http, waits(1))
        gone = await leaver(http, grey(2))
        await told(http, waits(2))
        assert (await http.post("/predict", files=form(grey(3)))).status_code == 429
        gone.close()
        await told(http, f"{GONE} 1.0")
        assert await depth(http, "brightness") == 1
        third = asyncio.create_task(http.post("/predict", files=form(grey(3))))
        await told(http, waits(2))
        gate.open()
        assert [(await task).status_code for task in (first, third)] == [200, 200]
    assert gate.runs == [1, 1]  # nothing ran for the one who left


async def test_the_place_of_a_caller_who_leaves_while_its_image_runs_is_free_when_the_run_ends(
    root: Path, gate: Gate
) -> None:
    async with listening(root, gate, queue_length=1) as http:
        gate.shut()
        gone = await leaver(http, grey(1))
        await told(http, waits(1))
        gone.close()
        await told(http, f"{GONE} 1.0")
        assert await depth(http, "brightness") == 1  # its network runs, and is not asked to stop
        assert (await http.post("/predict", files=form(grey(2)))).status_code == 429
        gate.open()
        await told(http, waits(0))
        assert (await http.post("/predict", files=form(grey(3)))).status_code == 200


async def test_a_caller_who_leaves_while_it_sends_is_not_waited_for(root: Path, gate: Gate) -> None:
    async with listening(root, gate) as http:
        gone = await leaver(http, grey(1), share=0.5)
        await told(http, "striate_in_flight_requests 2.0")  # it, and the one that asks
        gone.close()
        await told(http, f"{GONE} 1.0")
        await told(http, "striate_in_flight_requests 1.0")


async def test_a_caller_of_many_images_who_leaves_frees_every_place(root: Path, gate: Gate) -> None:
    async with listening(root, gate, queue_length=8) as http:
        gate.shut()
        asking = asyncio.create_task(http.post("/predict", files=form(*map(grey, range(20)))))
        await told(http, waits(4))  # one list takes half of the queue
        asking.cancel()  # closes the connection
        await told(http, f"{GONE} 1.0")
        await told(http, waits(1))  # the one that runs; none of those that waited
        gate.open()
        await told(http, waits(0))
        assert (await http.post("/predict", files=form(grey(1)))).status_code == 200


def fragile(root: Path) -> None:
    """A classifier of 8 x 8 grey images that ONNX Runtime fails to run on a white one: it looks up the third of two."""
    weights = package_parts.graph(
        [
            helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1, 2, 3], keepdims=0),  # (N,)
            helper.make_node("Mul", ["mean", "two"], ["twice"]),
            helper.make_node("Cast", ["twice"], ["place"], to=TensorProto.INT64),  # 2 for white alone
            helper.make_node("Gather", ["table", "place"], ["logits"]),  # (N, 2)
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ],
        constants={"two": np.array(2.001), "table": np.array([[1.0, 0.0], [0.0, 1.0]])},
        inputs=("N", 1, 8, 8),
        outputs={"probabilities": ("N", 2)},
    )
    spec = {
        "name": "fragile",
        "version": "1.0",
        "description": "Fails on white.",
        "task": "classification",
        "architecture": "tiny",
        "input": {"channels": 1, "size": (8, 8), "smallest_image": 4, "steps": package_parts.TO_UNIT},
        "classes": [{"label": "dark"}, {"label": "bright"}],
        "activation": "softmax",
        "receptive_field": 8,
        "stride": 8,
    }
    package_parts.write_package(root, spec, weights, package_parts.ramp(1, 8))


def top(answer: dict[str, Any]) -> str:
    """The label of a result's first class, or the code of its failure."""
    return answer.get("code") or answer["classes"][0]["label"]


async def test_a_network_that_fails_answers_500_is_counted_and_goes_on(serving: Client, tmp_path: Path) -> None:
    fragile(tmp_path)
    async with serving(models=tmp_path) as http:
        answers = [await http.post("/predict", files=form(grey(value))) for value in (200, 255, 255, 30)]
        metrics = (await http.get("/metrics")).text
    assert [answer.status_code for answer in answers] == [200, 500, 500, 200]
    assert [top(answer.json()) for answer in answers] == ["bright", "internal", "internal", "dark"]
    assert metric(metrics, "striate_failed_runs_total", model="fragile") == 2
    assert metric(metrics, "striate_errors_total", code="internal") == 2
    assert metric(metrics, "striate_requests_total", status="500") == 2
    assert metric(metrics, "striate_queue_depth") == 0


async def test_of_a_batch_that_fails_all_but_the_bad_one_are_answered(
    serving: Client, tmp_path: Path, gate: Gate
) -> None:
    fragile(tmp_path)
    async with serving(models=tmp_path, open_session=gate.batching_session) as http:
        gate.shut()
        gate.runs.clear()
        asking = asyncio.create_task(http.post("/predict", files=form(*map(grey, (10, 200, 30, 255, 250)))))
        await told(http, 'striate_queue_depth{model="fragile"} 5.0')
        gate.open()
        answer = await asking
        metrics = (await http.get("/metrics")).text
    assert (answer.status_code, gate.runs) == (200, [1, 4, 1, 1, 1, 1])
    assert [top(result) for result in answer.json()["results"]] == ["dark", "bright", "dark", "internal", "bright"]
    assert metric(metrics, "striate_failed_runs_total", model="fragile") == 1
    assert metric(metrics, "striate_errors_total", code="internal") == 1


LONG = form(grey(9, height=4000, width=4000))  # thousands of small tiles: seconds
AS_SMALL_TILES = {"STRIATE_TILE_PX": "64", "STRIATE_TIMEOUT_S": "240"}


async def admitted(url: httpx.URL) -> bool:
    """Whether a new connection is answered."""
    try:
        async with httpx.AsyncClient(base_url=url, timeout=2) as late:
            return (await late.get("/livez")).status_code == 200
    except httpx.TransportError:
        return False


async def runs(http: httpx.AsyncClient, model: str) -> float:
    return metric((await http.get("/metrics")).text, "striate_batch_size_count", model=model)


@pytest.mark.slow
async def test_sigterm_lets_what_runs_end_and_nobody_in(root: Path, tmp_path: Path) -> None:
    """BentoML's parent keeps the socket until its worker has ended: who comes meanwhile waits, and is then cut off."""
    with served(tmp_path / "log", STRIATE_MODELS=str(root), **AS_SMALL_TILES) as (own, process):
        async with httpx.AsyncClient(base_url=own.base_url, timeout=240) as http:
            long = asyncio.create_task(http.post("/segment", files=LONG, data={"model": "blobs"}))
            ended: list[float] = []
            long.add_done_callback(lambda _: ended.append(time.perf_counter()))
            await told(http, 'striate_queue_depth{model="blobs"} 1.0')
            process.terminate()
            async with asyncio.timeout(120):
                came = time.perf_counter()
                while await admitted(http.base_url):
                    await asyncio.sleep(0.01)
                    came = time.perf_counter()
            assert (await long).status_code == 200
            assert came < ended[0] - 0.2  # long before the end, and yet not let in
            assert await asyncio.to_thread(process.wait, 120) == 0


@pytest.mark.slow
async def test_a_caller_who_leaves_a_real_server_frees_its_place(root: Path, tmp_path: Path) -> None:
    with served(tmp_path / "log", STRIATE_MODELS=str(root), **AS_SMALL_TILES) as (own, _):
        async with httpx.AsyncClient(base_url=own.base_url, timeout=240) as http:
            long = asyncio.create_task(http.post("/segment", files=LONG, data={"model": "blobs"}))
            await told(http, 'striate_queue_depth{model="blobs"} 1.0')
            long.cancel()  # closes the connection
            await told(http, 'striate_requests_total{route="/segment",status="499"} 1.0')
            await told(http, 'striate_queue_depth{model="blobs"} 0.0')
            ran = [await runs(http, "blobs")]
            await asyncio.sleep(1)
            ran.append(await runs(http, "blobs"))
    assert ran[0] == ran[1] < 3969  # the image's tiles


async def test_an_image_whose_caller_has_left_is_not_kept_until_its_turn(root: Path) -> None:
    scheduler, work = Scheduler(Settings(models=root, worker_threads=1)), Work(Deadline.after(120))
    gate = threading.Event()
    busy = asyncio.create_task(scheduler.compute(partial(gate.wait, 120), work, pixels=math.inf))
    await asyncio.sleep(0)
    image = np.zeros(1000)
    kept = weakref.ref(image)
    waiting = asyncio.create_task(scheduler.compute(partial(np.sum, image), work, pixels=math.inf))
    await asyncio.sleep(0)
    del image
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    del waiting  # its traceback would keep what it was called with
    await asyncio.sleep(0)
    gc.collect()
    assert kept() is None
    gate.set()
    assert await busy
    scheduler.close()
