"""Tiles: a network of any input size run tile by tile where the image is large, exactly as in one pass."""

from collections.abc import Awaitable, Callable
from functools import partial

import numpy as np

from models.geometry import Grid, plan
from models.image import Array
from models.preprocess import pad
from models.spec import ModelSpec
from service.errors import TooLargeForOnePass
from service.scheduling.scheduler import Scheduler
from service.scheduling.work import Work
from service.tasks.task import Outputs

Run = Callable[[Array, Work], Awaitable[Outputs]]


async def probability_maps(
    tensor: Array, spec: ModelSpec, run: Run, scheduler: Scheduler, work: Work, *, tile_px: int
) -> Array:
    """tensor (C, H, W) float32 -> (classes + auxiliary, H, W) float32.

    Each tile queues by itself, and those after the first behind interactive requests, so that a large image does not
    keep a small one waiting. Raises TooLargeForOnePass where tiles would not give the whole's answer.
    """
    _, height, width = tensor.shape
    grid = Grid.of(spec, tile_px=tile_px)
    step = partial(pad, tensor, min_size=grid.min_size, step=grid.step, border=grid.border)
    padded = await scheduler.compute(step, work, pixels=tensor.size)
    if spec.reach == "image" and max(padded.shape[1:]) > grid.tile:
        raise TooLargeForOnePass(width=padded.shape[2], height=padded.shape[1], model=spec.name, limit=grid.tile)
    name = spec.names["probabilities"]
    whole = np.empty((len(spec.channel_names), *(side - 2 * grid.border for side in padded.shape[1:])), np.float32)
    later = work.part()
    for tile in plan(height=padded.shape[1], width=padded.shape[2], grid=grid):
        outputs = await run(padded[:, *tile.outer], work)
        whole[:, *tile.inner] = outputs[name][:, *tile.crop]
        work = later
    return whole[:, :height, :width]
