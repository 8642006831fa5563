"""Work items of a batcher, and the results that their callers get."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from models.image import Array
from service.inference import InferenceFailed, Session
from service.scheduling.cost_model import BatchCloseReason
from service.scheduling.work import Priority, Work


@dataclass(frozen=True, slots=True)
class InferenceResult:
    """One item's outputs by name, each (1, ...), its time in the queue and in the run, and the size of its batch.

    close_reason: why the batch was not larger; set on its oldest item alone, so that each batch counts once.
    """

    outputs: dict[str, Array]
    queue_s: float
    infer_s: float
    batch_size: int
    close_reason: BatchCloseReason | None = None


@dataclass(eq=False, slots=True)
class WorkItem:
    """tensor (1, C, H, W) float32, and the future that its caller awaits. alone: it was in a batch that failed."""

    number: int
    tensor: Array
    outputs: tuple[str, ...]
    work: Work
    result: asyncio.Future[InferenceResult]
    arrived: float
    waiting: bool = True
    alone: bool = False

    @property
    def group(self) -> "Group":
        """Items of one group may run together."""
        return self.work.priority, self.tensor.shape, self.number if self.alone else -1

    def call_in_loop(self, function: Callable[..., None], *args: object) -> None:
        """Calls it in the caller's event loop; from any thread."""
        self.result.get_loop().call_soon_threadsafe(function, *args)

    def settle(self, result: InferenceResult | BaseException) -> None:
        """Gives the caller its result, unless it has gone; in its event loop."""
        if self.result.done():
            return
        if isinstance(result, InferenceResult):
            self.result.set_result(result)
        else:
            self.result.set_exception(result)


Group = tuple[Priority, tuple[int, ...], int]


class BatchRun(NamedTuple):
    """A batch's outputs, each (N, ...), the start of its run by time.perf_counter(), and its duration in seconds."""

    outputs: dict[str, Array]
    started: float
    seconds: float


def run_batch(session: Session, batch: list[WorkItem]) -> BatchRun:
    """Runs the items of a batch as one; it is given up when all of them are late.

    Raises InferenceFailed, and what else the session raises.
    """
    started = time.perf_counter()
    tensor = batch[0].tensor if len(batch) == 1 else np.concatenate([item.tensor for item in batch])
    names = tuple(dict.fromkeys(name for item in batch for name in item.outputs))
    until = max(item.work.deadline.given_up_at for item in batch)
    outputs = session.run(tensor, names, until)
    if any(len(output) != len(tensor) for output in outputs.values()):  # nobody could tell whose each is
        raise InferenceFailed("The network's outputs are not one for each image of its batch.")
    return BatchRun(outputs, started, time.perf_counter() - started)


def deliver(batch: list[WorkItem], close_reason: BatchCloseReason, run: Future[BatchRun]) -> None:
    """Gives each item of a batch its part of the run; in their event loop."""
    for n, item in enumerate(batch):
        if error := run.exception():
            item.settle(error)
            continue
        done = run.result()
        own = {name: done.outputs[name][n : n + 1] for name in item.outputs}
        reason = None if n else close_reason
        item.settle(InferenceResult(own, done.started - item.arrived, done.seconds, len(batch), reason))
