"""Tests of tiles: the same maps as in one pass, and a refusal where that cannot be."""

from pathlib import Path

import numpy as np
import pytest

from models.image import Array
from service.encode.png_writer import png
from service.pipeline.tiles import probability_maps
from service.scheduling.scheduler import Scheduler
from service.scheduling.work import Deadline, Priority, Work
from service.settings import Settings
from service.tasks.task import Outputs
from tests import tiny
from tests.conftest import Client
from tests.package_parts import spec_of
from tests.service.image_files import form, grey

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("size", [(5, 7), (64, 64), (131, 200)])
async def test_tiles_give_what_the_whole_image_gives(serving: Client, size: tuple[int, int]) -> None:
    pixels: Array = np.random.default_rng(0).integers(0, 256, size).astype(np.uint8)
    data = {"model": "blobs", "format": "probabilities"}
    async with serving(tile_px=64) as tiled, serving() as whole:
        answers = [(await http.post("/segment", files=form(png(pixels)), data=data)).content for http in (tiled, whole)]
    assert answers[0] == answers[1]


async def test_a_segmenter_that_sees_the_whole_image_refuses_what_would_need_tiles(
    serving: Client, tmp_path: Path
) -> None:
    tiny.blobs(tmp_path, reach="image")
    async with serving(models=tmp_path, tile_px=64) as http:
        small = await http.post("/segment", files=form(grey(200, height=64, width=40)))
        large = await http.post("/segment", files=form(grey(200, height=65, width=40)))
    assert small.status_code == 200
    assert (large.status_code, large.json()["code"]) == (413, "too_large_for_one_pass")
    assert "64 x 64" in large.json()["error"]


async def test_the_first_tile_keeps_the_images_priority_and_the_others_go_behind() -> None:
    """An image of 63 x 126 pixels, padded to two tiles of 64 x 64, by a network that answers twice its input."""
    spec = spec_of(stride=1, input={"channels": 1, "min_size": 4, "step": 4, "steps": []})
    tensor: Array = np.arange(63 * 126, dtype=np.float32).reshape(1, 63, 126)
    ran = []

    async def run(tile: Array, work: Work) -> Outputs:
        ran.append((tile.shape, work.priority, work.has_place))
        return {"probabilities": 2 * tile}

    scheduler = Scheduler(Settings())
    maps = await probability_maps(tensor, spec, run, scheduler, Work(Deadline.after(60)), tile_px=64)
    scheduler.close()
    assert ran == [((1, 64, 64), Priority.INTERACTIVE, False), ((1, 64, 64), Priority.BULK, True)]
    np.testing.assert_array_equal(maps, 2 * tensor)
