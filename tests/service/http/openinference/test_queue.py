"""Tests of requests in the model's queue: beside others, in time, and never more than it holds."""

import asyncio

import httpx
import numpy as np
import pytest

from tests.conftest import Client
from tests.service.gated_sessions import Gate
from tests.service.http.openinference.requests import INFER, PROBABILITIES, ask, expected, numbers, prepared, tensor
from tests.service.image_files import form, grey

pytestmark = pytest.mark.anyio


async def test_a_requests_own_timeout_is_kept_and_cannot_exceed_the_services(serving: Client) -> None:
    many = prepared(*np.linspace(0, 1, 40))
    async with serving() as http:
        hurried = await http.post(INFER, json=ask(tensor(many), parameters={"timeout": 1}))
    async with serving(timeout_s=1e-6) as http:
        patient = await http.post(INFER, json=ask(tensor(many), parameters={"timeout": 10**9}))
    for answer in (hurried, patient):
        assert (answer.status_code, answer.json()["code"]) == (504, "deadline_passed")
        assert "1e-06 s" in answer.json()["error"]


async def test_images_of_this_route_and_of_predict_run_in_one_batch(serving: Client) -> None:
    gate = Gate()
    async with serving(gate.batching_session) as http:
        gate.shut()
        waiting = [asyncio.create_task(http.post("/predict", files=form(grey(204))))]
        await _depth(http, 1)
        waiting += [asyncio.create_task(http.post("/predict", files=form(grey(204)))) for _ in range(2)]
        waiting += [asyncio.create_task(http.post(INFER, json=ask(tensor(prepared(0.8))))) for _ in range(2)]
        await _depth(http, 5)
        gate.open()
        answers = await asyncio.gather(*waiting)
    assert gate.runs[-2:] == [1, 4]
    predicted, inferred = answers[2].json()["classes"], numbers(answers[3])
    assert inferred[0, 1] == pytest.approx(predicted[0]["probability"], abs=1e-7)


async def _depth(http: httpx.AsyncClient, items: int) -> None:
    """Returns when so many items wait or run."""
    async with asyncio.timeout(60):
        while f'striate_queue_depth{{model="brightness"}} {items}.0' not in (await http.get("/metrics")).text:
            await asyncio.sleep(0.01)


async def test_many_images_are_more_than_the_queue_holds(serving: Client) -> None:
    means = np.linspace(0, 1, 40)
    async with serving(queue_length=4) as http:
        answers = await asyncio.gather(
            *(http.post(INFER, json=ask(tensor(prepared(*means)), PROBABILITIES)) for _ in range(2))
        )
    for answer in answers:
        assert numbers(answer) == pytest.approx(expected(*means), abs=1e-6)
