"""Pipeline: an image's way from its bytes to its answer; knows no HTTP."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Generic, TypeVar

import numpy as np

from models.flips import mirrored, orientations
from models.image import Array
from models.source import Image, Source
from models.spec import ModelSpec
from service.api.answers import InputInfo, InputWarning, Timings, WireModel
from service.errors import MemoryFull
from service.inference import InferenceFailed
from service.pipeline.prepare import (
    SMALL_PIXELS,
    PreparedImage,
    check_output,
    pixel_passes,
    prepare_image,
    prepare_small,
    prepare_source,
    prepared_tensor,
)
from service.pipeline.tiles import probability_maps
from service.repository.state import ServedModel
from service.sandbox.decoders import Decoders, InProcess
from service.scheduling.scheduler import Scheduler
from service.scheduling.work import Work
from service.scheduling.work_item import InferenceResult
from service.settings import Settings
from service.tasks.classification import top_class
from service.tasks.task import Document, Encoded, Outputs, Separate, Task
from service.telemetry.metrics import Metrics
from service.telemetry.model_metrics import ModelMetrics

Sent = bytes | Source | Array  # a file, an open image, or a prepared tensor (C, H, W) float32
OnPrediction = Callable[[Sent, ServedModel, Array], None]
Options = TypeVar("Options", bound=WireModel)
F = TypeVar("F")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Result(Generic[R]):
    """The result for one image, and what every answer says of it. findings: the task's own, before encoding."""

    value: R
    model: ServedModel
    input: InputInfo
    warnings: tuple[InputWarning, ...]
    timings: Timings
    findings: object = None


class Pipeline:
    """Answers one image at a time, any number of them at once."""

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        *,
        decoders: Decoders = InProcess(),  # noqa: B008  it has no state
        on_prediction: OnPrediction | None = None,
    ) -> None:
        """decoders: of images that are not small; whoever made them closes them.

        on_prediction: called with each image, its model, and the probabilities that the network gave.
        """
        self.decoders = decoders
        self.on_prediction = on_prediction
        self.scheduler = Scheduler(settings)
        self._tile_px = settings.tile_px
        self._metrics_of = cache(partial(ModelMetrics, metrics))  # by the model's name

    def close(self) -> None:
        self.scheduler.close()

    async def answer(
        self, task: Task[Options, F], source: Sent, model: ServedModel, options: Options, work: Work
    ) -> Result[Encoded]:
        """Answers a task's question about an image, in the form that the options ask for."""
        spec, metrics = model.spec, self._metrics_of(model.spec.name)
        with work:
            inference = Inference(self.scheduler, model, metrics, task.outputs(options, spec), work)
            prepared, outputs = await inference.start(source, self.decoders, tile_px=self._tile_px)
            self._report(source, prepared, outputs, model)
            if task.extra_passes:
                outputs = await task.extra_passes(outputs, prepared.tensor, options, spec, inference.each)
            separate = partial(self.decoders.separate, deadline=work.deadline)
            step = partial(_finish, task, outputs, prepared.image, options, spec, work, separate, time.perf_counter())
            pixels = task.pixels(options, prepared.image)
            findings, encoded = await self.scheduler.compute(step, work, pixels=pixels)
            if top := task.top_class(outputs, spec):
                metrics.observe_prediction(*top)
            return self._result(encoded, prepared, model, work, findings)

    async def infer(self, source: Sent, model: ServedModel, names: Sequence[str], work: Work) -> Result[Outputs]:
        """Returns the network's own outputs, without their batch axis."""
        spec, metrics = model.spec, self._metrics_of(model.spec.name)
        with work:
            inference = Inference(self.scheduler, model, metrics, names, work)
            prepared, outputs = await inference.start(source, self.decoders, tile_px=self._tile_px)
            self._report(source, prepared, outputs, model)
            if spec.task == "classification":
                metrics.observe_prediction(*top_class(outputs[spec.names["probabilities"]], spec))
            return self._result(outputs, prepared, model, work)

    def _report(self, source: Sent, prepared: PreparedImage, outputs: Outputs, model: ServedModel) -> None:
        """Counts the input, and passes the prediction to the shadow."""
        self._metrics_of(model.spec.name).observe_input(prepared.image, prepared.warnings, prepared.deviations)
        if self.on_prediction:
            self.on_prediction(source, model, outputs[model.spec.names["probabilities"]])

    def _result(
        self, value: R, prepared: PreparedImage, model: ServedModel, work: Work, findings: object = None
    ) -> Result[R]:
        """Counts the image as answered."""
        timings = work.timings()
        self._metrics_of(model.spec.name).observe_answer(work.seconds, timings, model.statistics)
        return Result(value, model, prepared.input, prepared.warnings, timings, findings)


class Inference:
    """One image's passes through its network: counted, checked, and averaged over the package's flips."""

    def __init__(
        self, scheduler: Scheduler, model: ServedModel, metrics: ModelMetrics, outputs: Sequence[str], work: Work
    ) -> None:
        """outputs: those to run beside the probabilities."""
        self._scheduler, self._model, self._metrics, self._work = scheduler, model, metrics, work
        self._probabilities = model.spec.names["probabilities"]
        self._names = tuple(dict.fromkeys((self._probabilities, *outputs)))

    async def start(self, source: Sent, decoders: Decoders, *, tile_px: int) -> tuple[PreparedImage, Outputs]:
        """Prepares an image when there is memory for it, and runs it: in one pass, or tile by tile.

        It waits for memory half as long as the request may take. Raises MemoryFull then.
        """
        (step, pixels), scheduler, work = self._step(source, decoders), self._scheduler, self._work
        prepared, result = None, None
        while prepared is None:
            try:
                if self._model.spec.input.size is None:
                    prepared = await scheduler.prepare(step, work, pixels=pixels)
                else:
                    prepared, result = await scheduler.prepare_and_run(
                        step, self._model.batcher, self._names, work, pixels=pixels
                    )
                if prepared is None and isinstance(source, bytes):  # a small file of a large image
                    step, pixels = partial(prepare_image, source, self._model.spec, work, decoders), math.inf
            except MemoryFull:
                if not await work.reservation.room(until=work.deadline.at - work.deadline.timeout_s / 2):
                    raise
            except InferenceFailed:
                self._metrics.failed_runs.inc()
                raise
        self._prepared, tensor = prepared, prepared.tensor
        if result:
            return prepared, await self._average(self._record(result, tensor), tensor, work)
        tile_px = min(tile_px, self._model.largest_tile)
        maps = await probability_maps(tensor, self._model.spec, self.run, scheduler, work, tile_px=tile_px)
        return prepared, {self._probabilities: maps}

    def _step(self, source: Sent, decoders: Decoders) -> tuple[Callable[[], PreparedImage | None], float]:
        """Returns the preparation of an image, and about how many pixels it goes through."""
        spec, work = self._model.spec, self._work
        if isinstance(source, bytes):
            pixels, header = pixel_passes(source, spec)
            if pixels <= SMALL_PIXELS:
                return partial(prepare_small, source, spec, work, header), pixels
            return partial(prepare_image, source, spec, work, decoders), pixels
        if isinstance(source, np.ndarray):
            return partial(prepared_tensor, source, spec, work), 0
        return partial(prepare_source, source, spec, work), math.inf

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
            result = await self._scheduler.run(self._model.batcher, tensor[None], names, work)
        except InferenceFailed:
            self._metrics.failed_runs.inc()
            raise
        return self._record(result, tensor)

    def _record(self, result: InferenceResult, tensor: Array) -> Outputs:
        """Counts a pass and checks its outputs. Raises ValuesTooLarge, InferenceFailed."""
        self._work.add("queue", result.queue_s, ago=result.infer_s)
        self._work.add("infer", result.infer_s)
        self._metrics.observe_run(result, self._model.statistics)
        for name, output in result.outputs.items():
            check_output(output, name, self._model.spec, tensor, self._prepared.image)
        return {name: output[0] for name, output in result.outputs.items()}


def _finish(
    task: Task[Options, F],
    outputs: Outputs,
    image: Image,
    options: Options,
    spec: ModelSpec,
    work: Work,
    separate: Separate,
    started: float,
) -> tuple[F, Encoded]:
    """Interprets and encodes in one thread: each change of thread takes as long as a small map does.

    started: by time.perf_counter(); waiting for a thread counts as post-processing.
    """
    pixels = task.pixels(options, image)
    work.check(pixels)
    findings = task.interpret(outputs, image, options, spec, separate)
    interpreted = time.perf_counter()
    work.check(pixels)
    encoded = task.encode(findings, image, options, spec)
    ended = time.perf_counter()
    if isinstance(encoded, Document):  # it is written by the caller
        interpreted = ended
    else:
        work.add("encode", ended - interpreted)
    work.add("postprocess", interpreted - started, ago=ended - interpreted)
    return findings, encoded
