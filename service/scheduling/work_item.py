"""What waits in a batcher, and what its caller gets."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from models.image import Array
from service.scheduling.cost_model import BatchCloseReason
from service.scheduling.deadline import Deadline


class Priority(IntEnum):
    """Who goes first."""

    INTERACTIVE = 0  # someone waits for this one image
    BULK = 1  # one of many: a tile of a large image, an image of a long list


@dataclass(frozen=True, slots=True)
class InferenceResult:
    """One item's outputs, each (1, ...), how long it waited and ran, and how many ran in the same batch.

    released: why that was released; the oldest of its items alone is told, so that each batch counts once.
    """

    outputs: dict[str, Array]
    queue_s: float
    infer_s: float
    batch_size: int
    released: BatchCloseReason | None = None


@dataclass(eq=False, slots=True)
class WorkItem:
    """tensor (1, C, H, W) float32, and the future that its caller awaits. alone: it was in a batch that failed."""

    number: int
    tensor: Array
    outputs: tuple[str, ...]
    priority: Priority
    deadline: Deadline
    answer: asyncio.Future[InferenceResult]
    arrived: float
    waits: bool = True
    alone: bool = False

    @property
    def kind(self) -> "Kind":
        """Items of one kind may run together."""
        return self.priority, self.tensor.shape, self.number if self.alone else -1

    def in_loop(self, function: Callable[..., None], *args: object) -> None:
        """Has the caller's event loop call it; from any thread."""
        self.answer.get_loop().call_soon_threadsafe(function, *args)

    def settle(self, answer: InferenceResult | BaseException) -> None:
        """Gives the caller its answer, unless it has gone; in its event loop."""
        if self.answer.done():
            return
        if isinstance(answer, InferenceResult):
            self.answer.set_result(answer)
        else:
            self.answer.set_exception(answer)


Kind = tuple[Priority, tuple[int, ...], int]


class BatchRun(NamedTuple):
    """A batch's outputs, each (N, ...), when its run began by time.perf_counter(), and the seconds that it took."""

    outputs: dict[str, Array]
    started: float
    seconds: float


def answer(batch: list[WorkItem], released: BatchCloseReason, run: Future[BatchRun]) -> None:
    """Gives each of a batch its part of what came of the run; in their event loop."""
    for n, item in enumerate(batch):
        if error := run.exception():
            item.settle(error)
            continue
        done = run.result()
        own = {name: done.outputs[name][n : n + 1] for name in item.outputs}
        item.settle(
            InferenceResult(own, done.started - item.arrived, done.seconds, len(batch), None if n else released)
        )
