"""Tests of work items: which may run together, and the part of a run that each gets."""

import asyncio
import math
import threading
from collections.abc import Sequence
from concurrent.futures import Future

import numpy as np
import pytest

from models.image import Array
from service.inference import InferenceFailed
from service.scheduling.cost_model import BatchCloseReason
from service.scheduling.work import Priority
from service.scheduling.work_item import BatchRun, InferenceResult, deliver, run_batch
from tests.service.scheduling.work_items import work_item

pytestmark = pytest.mark.anyio


async def test_items_of_one_priority_and_shape_may_run_together() -> None:
    first = work_item(1)
    assert work_item(2).group == first.group
    assert work_item(3, height=2).group != first.group
    assert work_item(4, priority=Priority.BULK).group != first.group
    assert work_item(5, alone=True).group not in (first.group, work_item(6, alone=True).group)


async def test_each_item_gets_its_part_of_the_run_and_the_oldest_the_reason() -> None:
    batch = [work_item(1, arrived=100.0), work_item(2, arrived=102.5)]
    outputs = {"y": np.array([[1.0], [2.0]]), "unasked": np.zeros((2, 9))}
    run: Future[BatchRun] = Future()
    run.set_result(BatchRun(outputs, started=103.0, seconds=0.5))
    deliver(batch, BatchCloseReason.FULL, run)
    first, second = [item.result.result() for item in batch]
    assert [result.outputs["y"].tolist() for result in (first, second)] == [[[1.0]], [[2.0]]]
    assert list(first.outputs) == ["y"]
    assert (first.queue_s, second.queue_s) == (3.0, 0.5)
    assert [(result.infer_s, result.batch_size) for result in (first, second)] == [(0.5, 2)] * 2
    assert (first.close_reason, second.close_reason) == (BatchCloseReason.FULL, None)


async def test_a_run_that_fails_fails_each_item() -> None:
    batch = [work_item(1), work_item(2)]
    run: Future[BatchRun] = Future()
    run.set_exception(InferenceFailed("it saw a bad one"))
    deliver(batch, BatchCloseReason.IDLE, run)
    assert [type(item.result.exception()) for item in batch] == [InferenceFailed] * 2


class Swelling:
    """A session that returns twice as many outputs as it was given images."""

    provider, lanes, buckets = "test", 1, (1, 2)

    def run(self, batch: Array, outputs: Sequence[str], until: float = math.inf) -> dict[str, Array]:
        return {name: np.zeros((2 * len(batch), 1), np.float32) for name in outputs}


async def test_outputs_that_are_not_one_for_each_image_fail_the_run() -> None:
    with pytest.raises(InferenceFailed, match="not one for each image"):
        run_batch(Swelling(), [work_item(1), work_item(2)])


async def test_a_caller_who_has_gone_is_given_nothing() -> None:
    item = work_item(1)
    item.result.cancel()
    item.settle(InferenceResult({}, 0.0, 0.0, 1))
    item.settle(LookupError())
    assert item.result.cancelled()


async def test_another_thread_settles_in_the_callers_event_loop() -> None:
    item, result = work_item(1), InferenceResult({}, 0.0, 0.0, 1)
    thread = threading.Thread(target=item.call_in_loop, args=(item.settle, result))
    thread.start()
    assert await asyncio.wait_for(item.result, timeout=60) is result
    thread.join()
