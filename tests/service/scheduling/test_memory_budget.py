"""Tests of the memory budget: what images need, what is reserved, and what can never fit."""

from pathlib import Path

import pytest

from service.errors import AnswerTooLarge, ImageTooLarge, MemoryFull, TooManyBytes
from service.process.container import memory_bytes
from service.scheduling.memory_budget import (
    SMALL_BYTES,
    SMALL_PIXELS,
    SMALL_ROOM_BYTES,
    TINY_BYTES,
    MemoryBudget,
    needed_bytes,
)
from service.scheduling.work import Reservation
from service.settings import Settings
from tests import tiny
from tests.package_parts import spec_of


def test_large_images_share_an_budget_and_give_it_back(tmp_path: Path) -> None:
    spec, pixels = tiny.blobs(tmp_path).spec, 2 * SMALL_PIXELS
    budget = MemoryBudget(needed_bytes(pixels, spec))
    with Reservation(budget) as first, Reservation(budget) as second:
        first.reserve_image(pixels, spec)
        first.reserve_image(pixels, spec)  # the same image, looked at again
        assert budget.reserved_bytes == budget.total_bytes
        second.reserve_image(SMALL_PIXELS, spec)  # small ones always have room
        with pytest.raises(MemoryFull):
            second.reserve_image(pixels, spec)
        with pytest.raises(ImageTooLarge, match="STRIATE_IMAGE_BYTES"):
            second.reserve_image(pixels + 1, spec)
    assert budget.reserved_bytes == 0


@pytest.mark.parametrize(
    ("pixels", "size", "needed"),
    [
        (SMALL_PIXELS, None, 0),  # a small image takes what its thread has
        (10_000_000, None, 10_000_000 * (80 + 24)),  # and its one map
        (10_000_000, (8, 8), 10_000_000 * 80),  # the maps of a fixed size are small
    ],
)
def test_an_image_needs_bytes_for_its_pixels_and_its_maps(
    pixels: int, size: tuple[int, int] | None, needed: int
) -> None:
    assert needed_bytes(pixels, spec_of(stride=1, input={"channels": 1, "size": size, "steps": []})) == needed


@pytest.mark.parametrize(("front_ends", "total"), [(1, 9000), (3, 3000)])
def test_front_ends_share_the_budget_of_the_settings(front_ends: int, total: int) -> None:
    assert MemoryBudget.of(Settings(image_bytes=9000, front_ends=front_ends)).total_bytes == total


def test_without_a_setting_the_budget_is_half_of_the_memory() -> None:
    assert MemoryBudget.of(Settings()).total_bytes == memory_bytes() // 2


def test_a_refused_change_reserves_nothing() -> None:
    budget = MemoryBudget(10 * SMALL_BYTES)
    budget.resize(0, 6 * SMALL_BYTES)
    with pytest.raises(MemoryFull):
        budget.resize(0, 5 * SMALL_BYTES)
    budget.resize(0, 4 * SMALL_BYTES)
    budget.resize(6 * SMALL_BYTES, 0)
    assert (budget.reserved_bytes, budget.small_bytes) == (4 * SMALL_BYTES, 0)
    assert budget.body(10 * SMALL_BYTES) == 10 * SMALL_BYTES
    with pytest.raises(TooManyBytes, match="10,485,760 bytes"):
        budget.body(10 * SMALL_BYTES + 1)
    with pytest.raises(AnswerTooLarge, match="10,485,761 bytes"):
        budget.answer(10 * SMALL_BYTES + 1)


def test_small_requests_have_room_of_their_own_which_ends_too() -> None:
    budget = MemoryBudget(2 * SMALL_BYTES)
    budget.resize(0, 2 * SMALL_BYTES)  # full, for large ones
    for _ in range(SMALL_ROOM_BYTES // SMALL_BYTES):
        budget.resize(0, SMALL_BYTES)
    with pytest.raises(MemoryFull):
        budget.resize(0, TINY_BYTES + 1)
    budget.resize(2 * SMALL_BYTES, SMALL_BYTES // 2)  # less is never refused
    assert (budget.reserved_bytes, budget.small_bytes) == (0, SMALL_ROOM_BYTES + SMALL_BYTES // 2)
    with pytest.raises(MemoryFull):  # in the middle of a body
        MemoryBudget(2 * SMALL_BYTES).resize(SMALL_BYTES, 3 * SMALL_BYTES)


def test_the_file_of_an_image_stays_in_memory_beside_it() -> None:
    spec, pixels = spec_of(stride=1, input={"channels": 1, "steps": []}), 2 * SMALL_PIXELS
    budget = MemoryBudget(needed_bytes(pixels, spec) + 5)
    assert budget.image(pixels, spec, body_bytes=5) == needed_bytes(pixels, spec)
    with pytest.raises(ImageTooLarge):
        budget.image(pixels, spec, body_bytes=6)
