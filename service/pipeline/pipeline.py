"""Pipeline: an image's way from its bytes to its answer; knows no HTTP."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from models.image import Array, Image
from models.spec import ModelSpec
from service.api.answers import InputInfo, InputWarning, Timings, WireModel
from service.pipeline.passes import Passes
from service.pipeline.prepare import PreparedImage
from service.repository.state import ServedModel
from service.scheduling.scheduler import Scheduler
from service.scheduling.work import Work
from service.settings import Settings
from service.tasks.classification import top_class
from service.tasks.task import Document, Encoded, Outputs, Task
from service.telemetry.metrics import Metrics

OnPrediction = Callable[[bytes | Array, ServedModel, Array], None]
Options = TypeVar("Options", bound=WireModel)
F = TypeVar("F")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Result(Generic[R]):
    """The result for one image, and what every answer says of it."""

    value: R
    model: ServedModel
    input: InputInfo
    warnings: tuple[InputWarning, ...]
    timings: Timings


class Pipeline:
    """Answers one image at a time, any number of them at once."""

    def __init__(self, settings: Settings, metrics: Metrics, *, on_prediction: OnPrediction | None = None) -> None:
        """on_prediction: called with each image, its model, and the probabilities that the network gave."""
        self.on_prediction = on_prediction
        self.scheduler = Scheduler(settings)
        self._tile_px, self._metrics = settings.tile_px, metrics

    def close(self) -> None:
        self.scheduler.close()

    async def answer(
        self, task: Task[Options, F], source: bytes, model: ServedModel, options: Options, work: Work
    ) -> Result[Encoded]:
        """Answers a task's question about an image, in the form that the options ask for."""
        spec, metrics = model.spec, self._metrics.of(model.spec.name)
        with work.reservation:
            passes = Passes(self.scheduler, model, metrics, task.outputs(options, spec), work)
            prepared, outputs = await passes.infer(source, tile_px=self._tile_px)
            self._report(source, prepared, outputs, model)
            outputs = await task.complete(outputs, prepared.tensor, options, spec, passes.each)
            step = partial(_finish, task, outputs, prepared.image, options, spec, work, time.perf_counter())
            encoded = await self.scheduler.compute(step, work, pixels=task.pixels(options, prepared.image))
            if top := task.top_class(outputs, spec):
                metrics.predicted(*top)
            return self._result(encoded, prepared, model, work)

    async def infer(
        self, source: bytes | Array, model: ServedModel, names: Sequence[str], work: Work
    ) -> Result[Outputs]:
        """Returns the network's own outputs, without their batch axis, for a file or a prepared tensor (C, H, W)."""
        spec, metrics = model.spec, self._metrics.of(model.spec.name)
        with work.reservation:
            passes = Passes(self.scheduler, model, metrics, names, work)
            prepared, outputs = await passes.infer(source, tile_px=self._tile_px)
            self._report(source, prepared, outputs, model)
            if spec.task == "classification":
                metrics.predicted(*top_class(outputs[spec.name_of("probabilities")], spec))
            return self._result(outputs, prepared, model, work)

    def _report(self, source: bytes | Array, prepared: PreparedImage, outputs: Outputs, model: ServedModel) -> None:
        """Counts the input, and tells the shadow."""
        self._metrics.of(model.spec.name).took(prepared.image, prepared.warnings, prepared.deviations)
        if self.on_prediction:
            self.on_prediction(source, model, outputs[model.spec.name_of("probabilities")])

    def _result(self, value: R, prepared: PreparedImage, model: ServedModel, work: Work) -> Result[R]:
        """Counts the image as answered."""
        timings = work.timings()
        stage = self._metrics.of(model.spec.name).stage
        for name, seconds in work.seconds.items():
            stage(name).observe(seconds)
        model.statistics.answered(timings)
        return Result(value, model, prepared.input, prepared.warnings, timings)


def _finish(
    task: Task[Options, F],
    outputs: Outputs,
    image: Image,
    options: Options,
    spec: ModelSpec,
    work: Work,
    started: float,
) -> Encoded:
    """Interprets and encodes in one thread: each change of thread takes as long as a small map does.

    started: by time.perf_counter(); waiting for a thread counts as post-processing.
    """
    findings = task.interpret(outputs, image, options, spec)
    interpreted = time.perf_counter()
    encoded = task.encode(findings, image, options, spec)
    ended = time.perf_counter()
    if isinstance(encoded, Document):  # it is written by the caller
        interpreted = ended
    else:
        work.add("encode", ended - interpreted)
    work.add("postprocess", interpreted - started, ago=ended - interpreted)
    return encoded
