"""Tests of exchanges: deadlines, callers who leave, and several images in one request."""

import asyncio

import pytest
from starlette.types import Message, Receive

from service.errors import DeadlinePassed
from service.http.errors import CallerGone
from service.http.exchange import DisconnectWatch
from service.scheduling.work import Deadline
from tests import tiny
from tests.conftest import Client
from tests.service.image_files import form, grey

pytestmark = pytest.mark.anyio


async def test_several_images_have_their_results_in_order(serving: Client) -> None:
    values = [0, 51, 102, 153, 204, 255]
    async with serving() as http:
        answer = (await http.post("/predict", files=form(*map(grey, values)))).json()
    for value, result in zip(values, answer["results"], strict=True):
        found = {known["label"]: known["probability"] for known in result["classes"]}
        assert found["bright"] == pytest.approx(tiny.brightness_of(value / 255)["bright"], abs=1e-6)
    assert answer["model"]["name"] == "brightness"


async def test_a_body_that_never_ends_is_given_up(serving: Client) -> None:
    async def stalled():
        yield grey(204)[:20]
        await asyncio.sleep(60)

    async with serving(timeout_s=0.2) as http:
        late = await http.post("/predict", content=stalled(), headers={"Content-Type": "image/png"})
    assert (late.status_code, late.json()["code"]) == (504, "deadline_passed")


async def silent() -> Message:
    """A connection that stays open."""
    await asyncio.sleep(60)
    raise AssertionError("the watch outlived its block")


async def closed() -> Message:
    """A connection that the caller has closed."""
    return {"type": "http.disconnect"}


def after_more_of_a_body(then: Receive) -> Receive:
    """A connection on which more than was read is waiting."""
    messages: list[Message] = [{"type": "http.request"}, {"type": "http.request"}]

    async def receive() -> Message:
        return messages.pop() if messages else await then()

    return receive


async def watched(receive: Receive, timeout_s: float, *, begins: bool = True, error: Exception | None = None) -> None:
    """A block that waits, or fails, under a watch."""
    deadline = Deadline.after(timeout_s)
    async with DisconnectWatch(receive, deadline) as watch:
        if begins:
            watch.begin(deadline)
        if error:
            raise error
        await asyncio.sleep(60)


@pytest.mark.parametrize(
    ("receive", "timeout_s", "begins", "expected"),
    [
        (silent, 0.01, False, DeadlinePassed),  # while the body is being read
        (silent, 0.01, True, DeadlinePassed),
        (closed, 60.0, True, CallerGone),
        (after_more_of_a_body(closed), 60.0, True, CallerGone),
        (after_more_of_a_body(silent), 0.1, True, DeadlinePassed),
    ],
    ids=["deadline before begin()", "deadline", "gone", "gone after more", "more, and not gone"],
)
async def test_a_watch_ends_its_block(
    receive: Receive, timeout_s: float, begins: bool, expected: type[Exception]
) -> None:
    with pytest.raises(expected):
        await watched(receive, timeout_s, begins=begins)


async def test_where_each_image_has_its_own_deadline_the_block_has_none() -> None:
    async with DisconnectWatch(silent, Deadline.after(0.01)) as watch:
        watch.begin(None)
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("error", [LookupError(), TimeoutError()], ids=["a bug", "a timeout of its own"])
async def test_an_error_of_the_block_passes_the_watch_unchanged(error: Exception) -> None:
    with pytest.raises(type(error)) as raised:
        await watched(closed, 60.0, error=error)
    assert raised.value is error
