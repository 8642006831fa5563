"""Occlusion against Captum's, and its bounds: how many runs, how many at once, and none after it has ended."""

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest
import torch
from captum.attr import Occlusion
from torch import nn

from models.image import Array
from service.scheduling.scheduler import Scheduler
from service.settings import Settings
from service.tasks.occlusion import STEPS, occlusion_map, windows

pytestmark = pytest.mark.anyio


async def drops(tensor: Array, probability: Callable[[Array], Awaitable[float]], *, before: float, most: int) -> Array:
    scheduler = Scheduler(Settings())

    async def probabilities(inputs: list[Callable[[], Array]]) -> list[float]:
        return await scheduler.fan_out(lambda make: probability(make()), inputs, most=most)

    return await occlusion_map(tensor, probabilities, before=before)


@pytest.mark.parametrize("size", [(28, 28), (29, 40), (5, 61)])  # even steps, cut off at the border, smaller than STEPS
async def test_it_is_captums(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3))
    nn.init.normal_(network[-1].weight, std=20)
    x = torch.rand(1, 2, *size)
    network[-1].bias.data -= network(x)[0].detach()  # where the softmax is steep
    network = nn.Sequential(network, nn.Softmax(dim=1)).eval()

    async def probability(covered: Array) -> float:
        with torch.no_grad():
            return float(network(torch.from_numpy(covered[None]))[0, 1])

    before = await probability(x[0].numpy())
    ours = await drops(x[0].numpy(), probability, before=before, most=3)
    step = [-(-side // STEPS) for side in size]
    theirs = Occlusion(network).attribute(
        x,
        target=1,
        sliding_window_shapes=(2, *(min(2 * s, side) for s, side in zip(step, size))),
        strides=(2, *step),
        baselines=x.mean(dim=(2, 3), keepdim=True).expand_as(x),
    )
    assert ours.dtype == np.float32
    assert np.abs(ours).max() > 1e-3
    np.testing.assert_allclose(ours, theirs[0, 0].numpy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (1, 140), (14, 14), (15, 1000), (224, 224), (225, 500)])
def test_every_pixel_is_covered_and_the_runs_are_bounded(size: tuple[int, int]) -> None:
    count = np.zeros(size, int)
    every = windows(*size)
    for window in every:
        count[window] += 1
    assert (count >= 1).all()
    assert (count <= 4).all()
    assert len(every) <= (STEPS - 1) ** 2


async def test_no_more_runs_are_under_way_than_may_be() -> None:
    under_way, most = 0, 0

    async def probability(covered: Array) -> float:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return 0.25

    found = await drops(np.ones((1, 20, 20), np.float32), probability, before=1.0, most=5)
    assert most == 5
    assert (found == 0.75).all()


class Late(Exception):
    pass


async def test_what_fails_is_told_as_it_is_and_ends_the_rest() -> None:
    asked, ended = 0, 0

    async def probability(covered: Array) -> float:
        nonlocal asked, ended
        asked += 1
        if asked == 7:
            raise Late
        try:
            await asyncio.sleep(3600 if asked > 7 else 0)
        finally:
            ended += 1
        return 0.0

    with pytest.raises(Late):
        await drops(np.ones((1, 20, 20), np.float32), probability, before=1.0, most=4)
    assert ended == asked - 1
    assert asked < 20


async def test_who_cancels_ends_it() -> None:
    begun, ended = 0, 0

    async def probability(covered: Array) -> float:
        nonlocal begun, ended
        begun += 1
        try:
            await asyncio.sleep(3600)
        finally:
            ended += 1
        return 0.0

    running = asyncio.create_task(drops(np.ones((1, 20, 20), np.float32), probability, before=1.0, most=4))
    async with asyncio.timeout(60):
        while begun < 4:
            await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ended == 4
