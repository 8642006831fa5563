"""Many requests at once, with a network that takes its time: who waits, who is refused, who never notices."""

import asyncio
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

from models.image import Array
from service.routes import create_app
from service.session import OnnxSession
from service.settings import Settings
from tests.conftest import Client
from tests.service.files import form, grey

pytestmark = pytest.mark.anyio


class Gated:
    """A real session whose runs wait until the gate is open."""

    gate = threading.Event()

    def __init__(self, weights: Path) -> None:
        self._session = OnnxSession(weights, device="cpu", threads=1)
        self.provider = self._session.provider

    def run(self, batch: Array, outputs: Sequence[str]) -> dict[str, Array]:
        self.gate.wait(timeout=10)
        return self._session.run(batch, outputs)


@pytest.fixture
def gate() -> threading.Event:
    Gated.gate = threading.Event()
    Gated.gate.set()  # open while the packages prove themselves
    return Gated.gate


async def waiting(http: httpx.AsyncClient, metric: str) -> None:
    """Returns once the metric's line is exposed."""
    async with asyncio.timeout(5):
        while metric not in (await http.get("/metrics")).text:
            await asyncio.sleep(0.01)


async def test_the_event_loop_answers_while_a_network_runs(serving: Client, gate: threading.Event) -> None:
    async with serving(open_session=Gated) as http:
        gate.clear()
        slow = asyncio.create_task(http.post("/predict", files=form(grey(1))))
        await waiting(http, 'striate_queue_depth{model="brightness"} 1.0')
        for _ in range(20):
            assert (await http.get("/livez")).status_code == 200
        other = await http.post("/segment", files=form(b"nothing"), data={"model": "blobs"})
        assert not slow.done()
        gate.set()
        assert (await slow).status_code == 200
    assert other.status_code == 415


async def test_a_full_queue_is_told_at_once_and_when_to_come_back(serving: Client, gate: threading.Event) -> None:
    async with serving(open_session=Gated, queue_length=2) as http:
        gate.clear()
        accepted = [asyncio.create_task(http.post("/predict", files=form(grey(v)))) for v in (1, 2)]
        await waiting(http, 'striate_queue_depth{model="brightness"} 2.0')
        refused = await http.post("/predict", files=form(grey(3)))
        gate.set()
        assert [(await task).status_code for task in accepted] == [200, 200]
        after = await http.post("/predict", files=form(grey(3)))
        metrics = (await http.get("/metrics")).text
    assert (refused.status_code, refused.json()["code"], refused.headers["Retry-After"]) == (429, "queue_full", "1")
    assert after.status_code == 200
    assert 'striate_rejections_total{reason="queue_full"} 1.0' in metrics
    assert 'striate_queue_depth{model="brightness"} 0.0' in metrics


async def test_a_deadline_that_passes_is_told(serving: Client, gate: threading.Event) -> None:
    async with serving(open_session=Gated, timeout_s=1.0) as http:
        gate.clear()
        started = time.monotonic()
        late = await asyncio.gather(*(http.post("/predict", files=form(grey(value))) for value in (1, 2)))
        assert time.monotonic() - started < 8
        gate.set()
        after = await http.post("/predict", files=form(grey(1)))
    assert [(response.status_code, response.json()["code"]) for response in late] == [(504, "deadline_passed")] * 2
    assert "1 s" in late[0].json()["error"]
    assert after.status_code == 200


async def test_images_that_wait_to_be_decoded_are_bounded_too(serving: Client) -> None:
    async with serving(queue_length=1, worker_threads=1) as http:
        answers = await asyncio.gather(*(http.post("/predict", files=form(grey(9))) for _ in range(20)))
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


async def test_not_ready_until_the_models_are_loaded(serving: Client, root: Path, gate: threading.Event) -> None:
    gate.clear()
    app = create_app(Settings(models=root, device="cpu"), open_session=Gated)
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://striate")
    async with app.router.lifespan_context(app), client as http:
        early = [await http.get(path) for path in ("/livez", "/readyz", "/models")]
        asked = await http.post("/predict", files=form(grey(1)))
        gate.set()
        async with asyncio.timeout(5):
            while (await http.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.01)
    assert [response.status_code for response in early] == [200, 503, 503]
    assert (asked.status_code, asked.json()["code"], asked.headers["Retry-After"]) == (503, "not_ready", "5")
