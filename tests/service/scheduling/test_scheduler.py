"""Scheduler: where a step runs, who waits for a worker, and what a caller who left leaves behind."""

import asyncio
import gc
import math
import threading
import weakref
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from service.scheduling.scheduler import Scheduler
from service.scheduling.work import Deadline, Work
from service.settings import Settings

pytestmark = pytest.mark.anyio


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
