"""Shadows: versions that see the images that the live version has answered, and are compared, never answering."""

import asyncio
from collections.abc import Callable

import numpy as np

from models.errors import StriateError
from models.image import Array
from models.spec import ModelSpec
from service.errors import MemoryFull, TooManyBytes
from service.pipeline.pipeline import Pipeline, Sent
from service.repository.state import ServedModel
from service.sandbox.decoders import Decoders
from service.scheduling.memory_budget import MemoryBudget
from service.scheduling.work import Deadline, Priority, Reservation, Work
from service.settings import Settings
from service.telemetry.metrics import Metrics

_MOST_BEHIND = 8  # images that wait for a shadow; beyond that it leaves some out
_PIXELS = 0.01  # share of an image's pixels that may be decided otherwise


class ShadowRunner:
    """Runs shadows behind the answers: in a pipeline and with a thread of their own, last in every queue."""

    def __init__(
        self,
        settings: Settings,
        shadow_of: Callable[[ServedModel], ServedModel | None],
        *,
        decoders: Decoders,
        memory: MemoryBudget,
    ) -> None:
        self._settings = settings.model_copy(update={"worker_threads": 1})
        self._pipeline = Pipeline(self._settings, Metrics(), decoders=decoders)
        self._memory = memory
        self._shadow_of = shadow_of
        self._behind: set[asyncio.Task[None]] = set()

    def on_prediction(self, sent: Sent, model: ServedModel, probabilities: Array) -> None:
        """An image, or a prepared tensor, and what the network of `model` gave for it."""
        shadow = self._shadow_of(model)
        if shadow is None:
            return
        held = Reservation(self._memory)  # the request gives its own back when it has been answered
        try:
            if len(self._behind) >= _MOST_BEHIND:
                raise MemoryFull
            held.reserve_body(probabilities.nbytes + (len(sent) if isinstance(sent, bytes) else 0))
        except (MemoryFull, TooManyBytes):
            shadow.statistics.comparison.left_out += 1
            return
        running = asyncio.create_task(self._compare(sent, model.spec, probabilities, shadow, held))
        self._behind.add(running)
        running.add_done_callback(self._behind.discard)
        running.add_done_callback(lambda _: held.release())

    def close(self) -> None:
        for running in self._behind:
            running.cancel()
        self._pipeline.close()

    async def _compare(
        self, sent: Sent, spec: ModelSpec, probabilities: Array, shadow: ServedModel, held: Reservation
    ) -> None:
        counts = shadow.statistics.comparison
        deadline = Deadline.after(self._settings.timeout_s)
        with shadow.use:
            try:
                async with deadline.enforced():
                    tolerates, own = self._settings.tolerate_damage == "warn", Reservation(self._memory, outer=held)
                    pixels = self._settings.max_pixels
                    work = Work(deadline, Priority.BULK, own, max_pixels=pixels, tolerates_damage=tolerates)
                    result = await self._pipeline.infer(sent, shadow, (), work)
            except (StriateError, MemoryError):
                counts.failed += 1
                return
        counts.compared += 1
        counts.differed += differ(probabilities, spec, result.value[shadow.spec.names["probabilities"]], shadow.spec)


def differ(one: Array, spec: ModelSpec, other: Array, other_spec: ModelSpec) -> bool:
    """Whether two networks' probabilities for an image, (C,) or (C, H, W), decide otherwise.

    Of a classifier: another most probable class. Of a segmenter: another class in more than 1 % of the pixels.
    """
    labels, others = _decided(one, spec), _decided(other, other_spec)
    return labels.shape != others.shape or float(np.mean(labels != others)) > _PIXELS


def _decided(probabilities: Array, spec: ModelSpec) -> Array:
    """The label of each pixel, or of the image; "" where no class of a sigmoid segmenter reaches its threshold."""
    own = probabilities[: len(spec.classes)]
    labels = np.array([known.label for known in spec.classes])[own.argmax(axis=0)]
    if spec.task == "segmentation" and spec.activation == "sigmoid":
        thresholds = np.array([known.threshold for known in spec.classes], np.float32)
        labels = np.where((own >= thresholds[:, None, None]).any(axis=0), labels, "")
    return np.asarray(labels)
