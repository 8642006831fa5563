"""Tests of the memory plan: its shares, and what is too little."""

import pytest

from service.scheduling.memory_plan import MIB, SMALL_ROOM_BYTES, TooLittleMemory, divided


@pytest.mark.parametrize("total", [2048, 3072, 4096, 24576])
@pytest.mark.parametrize("front_ends", [1, 2])
def test_the_shares_and_the_processes_fit_together(total: int, front_ends: int) -> None:
    plan = divided(total * MIB, front_ends=front_ends)
    processes = 160 + front_ends * (190 + 2 * 45 + SMALL_ROOM_BYTES // MIB) + (112 if front_ends > 1 else 0)
    shared = front_ends * plan.images + plan.activations + plan.weights + plan.proofs
    assert (total - processes) * MIB - front_ends <= shared <= (total - processes) * MIB
    assert front_ends * plan.images > plan.activations > plan.weights > 0


def test_the_operator_may_say_what_images_have() -> None:
    assert divided(4096 * MIB, front_ends=2, image_bytes=1000 * MIB).images == 500 * MIB


@pytest.mark.parametrize(("front_ends", "image_bytes", "needed"), [(1, 0, 910), (2, 0, 1480), (1, 1024 * MIB, 2190)])
def test_too_little_memory_says_what_is_needed(front_ends: int, image_bytes: int, needed: int) -> None:
    with pytest.raises(TooLittleMemory, match=f"There are {needed - 1:,} MiB of memory; .* needs {needed:,}"):
        divided((needed - 1) * MIB, front_ends=front_ends, image_bytes=image_bytes)
    divided(needed * MIB, front_ends=front_ends, image_bytes=image_bytes)
