"""Work items as a batcher queues them."""

import asyncio
import time

import numpy as np

from service.scheduling.work import Deadline, Priority, Work
from service.scheduling.work_item import WorkItem


def work_item(
    number: int,
    *,
    priority: Priority = Priority.INTERACTIVE,
    height: int = 1,
    arrived: float = 0.0,
    alone: bool = False,
) -> WorkItem:
    """An item of one column whose output is "y"; within an event loop."""
    return WorkItem(
        number,
        np.zeros((1, 1, height, 1), np.float32),
        ("y",),
        Work(Deadline(time.monotonic() + 3600, 3600), priority),
        asyncio.get_running_loop().create_future(),
        arrived,
        alone=alone,
    )
