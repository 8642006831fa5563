"""Passes of one image through its network: counted, checked, and averaged over the package's flips."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from models.flips import mirrored, orientations
from models.image import Array
from service.inference import InferenceFailed
from service.pipeline.prepare import PreparedImage, check_finite, pixel_passes, prepare_image, prepared_tensor
from service.pipeline.tiles import probability_maps
from service.repository.state import ServedModel
from service.scheduling.scheduler import Scheduler
from service.scheduling.work import Work
from service.scheduling.work_item import InferenceResult
from service.tasks.task import Outputs
from service.telemetry.metrics import ModelMetrics


class Passes:
    """Runs an image, and what a task makes of it, through a network."""

    def __init__(
        self, scheduler: Scheduler, model: ServedModel, metrics: ModelMetrics, outputs: Sequence[str], work: Work
    ) -> None:
        """outputs: those to run beside the probabilities."""
        self._scheduler, self._model, self._metrics, self._work = scheduler, model, metrics, work
        self._probabilities = model.spec.name_of("probabilities")
        self._names = tuple(dict.fromkeys((self._probabilities, *outputs)))

    async def infer(self, source: bytes | Array, *, tile_px: int) -> tuple[PreparedImage, Outputs]:
        """Prepares a file, or a tensor (C, H, W) that is prepared, and runs it: in one pass, or tile by tile."""
        spec, work = self._model.spec, self._work
        if isinstance(source, bytes):
            step, pixels = partial(prepare_image, source, spec, work), pixel_passes(source, spec)
        else:
            step, pixels = partial(prepared_tensor, source, spec, work), 0
        if spec.input.size is None:
            self._prepared = await self._scheduler.prepare(step, work, pixels=pixels)
            tensor = self._prepared.tensor
            maps = await probability_maps(tensor, spec, self.run, self._scheduler, work, tile_px=tile_px)
            return self._prepared, {self._probabilities: maps}
        try:
            self._prepared, result = await self._scheduler.prepare_and_run(
                step, self._model.batcher, self._names, work, pixels=pixels
            )
        except InferenceFailed:
            self._metrics.failed_runs.inc()
            raise
        return self._prepared, await self._average(self._record(result), self._prepared.tensor, work)

    async def run(self, tensor: Array, work: Work) -> Outputs:
        """Runs a tile, or a changed input, of the image that has been prepared."""
        return await self._average(await self._once(tensor, self._names, work), tensor, work)

    async def each(self, inputs: Sequence[Callable[[], Array]], *, most: int) -> list[Outputs]:
        """Runs changed inputs, behind interactive requests. See task.Passes."""
        work = self._work.part()
        return await self._scheduler.fan_out(lambda make: self.run(make(), work), inputs, most=most)

    async def _average(self, outputs: Outputs, tensor: Array, work: Work) -> Outputs:
        """Averages the probabilities over the package's flips, a pass each; other outputs are the first pass's.

        A tile's flip is the flipped image's tile: both begin at multiples of the network's stride.
        """
        _, *flips = orientations(self._model.spec.flips)
        if not flips:
            return outputs
        name, work = self._probabilities, work.again()
        total = outputs[name]
        for axes in flips:
            part = (await self._once(mirrored(tensor, axes), (name,), work))[name]
            total = total + (mirrored(part, axes) if part.ndim == 3 else part)
        return {**outputs, name: total / np.float32(1 + len(flips))}

    async def _once(self, tensor: Array, names: tuple[str, ...], work: Work) -> Outputs:
        try:
            return self._record(await self._scheduler.run(self._model.batcher, tensor[None], names, work))
        except InferenceFailed:
            self._metrics.failed_runs.inc()
            raise

    def _record(self, result: InferenceResult) -> Outputs:
        """Counts a pass and checks its outputs. Raises ValuesTooLarge."""
        self._work.add("queue", result.queue_s, ago=result.infer_s)
        self._work.add("infer", result.infer_s)
        self._metrics.ran(result)
        self._model.statistics.ran(result)
        for output in result.outputs.values():
            check_finite(output, self._prepared.image)
        return {name: output[0] for name, output in result.outputs.items()}
