"""Tests of the memory budget: what images need, what is reserved, and what can never fit."""

import asyncio
import threading
from pathlib import Path

import pytest

from service.errors import AnswerTooLarge, ImageTooLarge, MemoryFull, TooManyBytes
from service.scheduling.memory_budget import NOTHING, SMALL_BYTES, TINY_BYTES, Held, MemoryBudget, needed_bytes
from service.scheduling.memory_plan import SMALL_ROOM_BYTES, MemoryPlan
from service.scheduling.work import Reservation
from service.settings import Settings
from tests import tiny
from tests.package_parts import spec_of

GREY, PIXELS = 1, 10_000_000


def test_images_share_a_budget_and_give_it_back(tmp_path: Path) -> None:
    spec = tiny.blobs(tmp_path).spec
    budget = MemoryBudget(needed_bytes(PIXELS, spec, pixel_bytes=GREY))
    with Reservation(budget) as first, Reservation(budget) as second:
        first.reserve_image(PIXELS, spec, pixel_bytes=GREY)
        first.reserve_image(PIXELS, spec, pixel_bytes=GREY)  # the same image, looked at again
        assert budget.reserved_bytes == budget.total_bytes
        second.reserve_image(SMALL_BYTES // 100, spec, pixel_bytes=GREY)  # small ones have room of their own
        with pytest.raises(MemoryFull):
            second.reserve_image(PIXELS // 2, spec, pixel_bytes=GREY)
        with pytest.raises(ImageTooLarge, match="STRIATE_IMAGE_BYTES"):
            second.reserve_image(PIXELS + 1, spec, pixel_bytes=GREY)
    assert (budget.reserved_bytes, budget.small_bytes) == (0, 0)


@pytest.mark.parametrize(
    ("size", "pixel_bytes", "needed"),
    [
        ((8, 8), GREY, 24 + 2),  # the tensor and maps of a fixed size are small
        ((8, 8), 4, 24 + 8),
        ((8, 8), 32, 24 + 64),  # four channels of float64
        (None, GREY, 24 + 2 + 18 + 24),  # one channel, one map
    ],
)
def test_an_image_needs_bytes_for_its_pixels_its_tensor_and_its_maps(
    size: tuple[int, int] | None, pixel_bytes: int, needed: int
) -> None:
    spec = spec_of(stride=1, input={"channels": 1, "size": size, "steps": []})
    assert needed_bytes(PIXELS, spec, pixel_bytes=pixel_bytes) == PIXELS * needed


@pytest.mark.parametrize(("front_ends", "total"), [(1, 9000), (3, 3000)])
def test_front_ends_share_the_budget_of_the_settings(front_ends: int, total: int) -> None:
    assert MemoryBudget.of(Settings(image_bytes=9000, front_ends=front_ends)).total_bytes == total


def test_without_a_setting_the_budget_is_the_plans() -> None:
    assert MemoryBudget.of(Settings()).total_bytes == MemoryPlan.of(Settings()).images


@pytest.mark.anyio
async def test_who_waits_for_room_is_called_when_there_is_some() -> None:
    budget, loop = MemoryBudget(10 * SMALL_BYTES), asyncio.get_running_loop()
    budget.resize(NOTHING, Held.of(8 * SMALL_BYTES))
    assert await budget.room(Held.of(2 * SMALL_BYTES), until=loop.time() + 9)  # at once
    assert not await budget.room(Held.of(3 * SMALL_BYTES), until=loop.time() + 0.05)
    large, small = (asyncio.create_task(budget.room(Held.of(n * SMALL_BYTES), until=loop.time() + 9)) for n in (9, 3))
    await asyncio.sleep(0.05)
    assert not small.done()
    threading.Thread(target=budget.resize, args=(Held.of(8 * SMALL_BYTES), Held.of(6 * SMALL_BYTES))).start()
    assert await small
    assert not large.done()
    budget.resize(Held.of(6 * SMALL_BYTES), NOTHING)
    assert await large
    assert not budget._waiting


@pytest.mark.anyio
async def test_an_answer_has_the_room_before_an_image_that_came_sooner() -> None:
    budget, until = MemoryBudget(10 * SMALL_BYTES), asyncio.get_running_loop().time() + 9
    budget.resize(NOTHING, Held.of(10 * SMALL_BYTES))
    image = asyncio.create_task(budget.room(Held.of(7 * SMALL_BYTES), until=until))
    await asyncio.sleep(0)
    answer = asyncio.create_task(budget.room(Held.of(6 * SMALL_BYTES), until=until, first=True))
    await asyncio.sleep(0)
    budget.resize(Held.of(10 * SMALL_BYTES), NOTHING)
    assert await answer
    assert not image.done()
    image.cancel()


@pytest.mark.anyio
async def test_who_waits_leaves_nothing_behind() -> None:
    budget, loop = MemoryBudget(2 * SMALL_BYTES), asyncio.get_running_loop()
    budget.resize(NOTHING, Held.of(2 * SMALL_BYTES))
    waiting = asyncio.create_task(budget.room(Held.of(2 * SMALL_BYTES + 1), until=loop.time() + 9))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not budget._waiting


def test_a_refused_change_reserves_nothing() -> None:
    budget = MemoryBudget(10 * SMALL_BYTES)
    budget.resize(NOTHING, Held.of(6 * SMALL_BYTES))
    with pytest.raises(MemoryFull):
        budget.resize(NOTHING, Held.of(5 * SMALL_BYTES))
    budget.resize(NOTHING, Held.of(4 * SMALL_BYTES))
    budget.resize(Held.of(6 * SMALL_BYTES), NOTHING)
    assert (budget.reserved_bytes, budget.small_bytes) == (4 * SMALL_BYTES, 0)
    assert budget.body(10 * SMALL_BYTES) == 10 * SMALL_BYTES
    with pytest.raises(TooManyBytes, match="20,971,520 bytes"):
        budget.body(10 * SMALL_BYTES + 1)
    with pytest.raises(AnswerTooLarge, match="20,971,521 bytes"):
        budget.answer(10 * SMALL_BYTES + 1)


def test_small_requests_have_room_of_their_own_which_ends_too() -> None:
    budget = MemoryBudget(2 * SMALL_BYTES)
    budget.resize(NOTHING, Held.of(2 * SMALL_BYTES))  # full, for large ones
    for _ in range(SMALL_ROOM_BYTES // SMALL_BYTES):
        budget.resize(NOTHING, Held.of(SMALL_BYTES))
    with pytest.raises(MemoryFull):
        budget.resize(NOTHING, Held.of(TINY_BYTES + 1))
    budget.resize(Held.of(2 * SMALL_BYTES), Held(large=SMALL_BYTES // 2))  # less is never refused
    assert (budget.reserved_bytes, budget.small_bytes) == (SMALL_BYTES // 2, SMALL_ROOM_BYTES)
    with pytest.raises(MemoryFull):  # in the middle of a body
        MemoryBudget(2 * SMALL_BYTES).resize(Held.of(SMALL_BYTES), Held.of(3 * SMALL_BYTES))


def test_the_file_of_an_image_stays_in_memory_beside_it() -> None:
    spec = spec_of(stride=1, input={"channels": 1, "steps": []})
    need = needed_bytes(PIXELS, spec, pixel_bytes=GREY)
    budget = MemoryBudget(need + 5)
    assert budget.image(PIXELS, spec, pixel_bytes=GREY, body_bytes=5) == need
    with pytest.raises(ImageTooLarge):
        budget.image(PIXELS, spec, pixel_bytes=GREY, body_bytes=6)
