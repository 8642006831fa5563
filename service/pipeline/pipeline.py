"""From an image's bytes to its answer, stage by stage; knows no HTTP."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import ParamSpec, TypeVar

import numpy as np

from models.errors import TooManyPixels
from models.flips import mirrored, orientations
from models.geometry import Grid, plan
from models.image import Array
from models.preprocess import pad
from service.api.answers import MeasuredClass, MeasuredObject
from service.api.options import PredictOptions, SegmentOptions
from service.errors import QueueFull, TooLargeForOnePass
from service.inference import InferenceFailed
from service.pipeline.memory_budget import SMALL_PIXELS, MemoryBudget, Reservation
from service.pipeline.prepare import (
    PreparedImage,
    Result,
    Runner,
    at_once,
    check_finite,
    from_tensor,
    not_yet,
    prepare_image,
)
from service.repository.state import ServedModel
from service.scheduling.deadline import Deadline
from service.scheduling.work_item import Priority
from service.settings import Settings
from service.tasks import segmentation
from service.tasks.classification import Classified, classify, sum_up
from service.tasks.measurement import measure
from service.tasks.picture import Picture
from service.telemetry.metrics import Metrics
from service.telemetry.stopwatch import Stopwatch

_PROBABILITIES = ("probabilities",)
Saw = Callable[[bytes | Array, ServedModel, Array], None]
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Measured:
    pixel_size_um: float | None
    classes: tuple[MeasuredClass, ...]
    objects: tuple[MeasuredObject, ...]


@dataclass(frozen=True, slots=True)
class Segmented:
    picture: Picture
    count: int


class Pipeline:
    """Answers one image at a time, any number of them at once; everything slow runs in threads."""

    def __init__(self, settings: Settings, metrics: Metrics, *, on_prediction: Saw = lambda *_: None) -> None:
        """saw: told of each image, the model that ran, and the probabilities that its network gave."""
        self.on_prediction = on_prediction
        self.queue_length = settings.queue_length
        self._settings = settings
        self._metrics = metrics
        self._threads = ThreadPoolExecutor(settings.worker_threads, thread_name_prefix="image")
        self._preparing = 0
        self.allowance = MemoryBudget.of(settings)
        # Long lists leave a thread to who waits for one image.
        self._bulk = asyncio.Semaphore(max(1, settings.worker_threads - 1))

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def predict(
        self,
        data: bytes,
        model: ServedModel,
        options: PredictOptions,
        *,
        deadline: Deadline,
        priority: Priority = Priority.INTERACTIVE,
    ) -> Result[Classified]:
        """Which classes the image shows."""
        with self.allowance.share() as share:
            ready = await self.ready(data, model, share, outputs=_PROBABILITIES, deadline=deadline, priority=priority)
            outputs = await self.averaged(ready, ready.tensor, _PROBABILITIES, deadline=deadline, priority=priority)
            self.on_prediction(data, model, outputs["probabilities"])
            with ready.watch.stage("postprocess"):
                classes = classify(outputs["probabilities"], model.spec, top_k=options.top_k)
                nodes = sum_up(outputs["probabilities"], model.spec)
            self._count(model, classes[0].label, classes[0].probability)
            return ready.result(Classified(classes, nodes))

    async def infer(
        self,
        sent: bytes | Array,
        model: ServedModel,
        outputs: Sequence[str],
        *,
        deadline: Deadline,
        priority: Priority,
        together: int,
    ) -> Result[dict[str, Array]]:
        """The network's own outputs, without their batch axis, for a file or a tensor (C, H, W) that is prepared.

        together: images of the request; where each is answered in its own size they share the pixels of one.
        """
        with self.allowance.share() as share:
            parts = together if model.spec.input.size is None else 1
            every = tuple(dict.fromkeys(("probabilities", *outputs)))
            ready = await self.ready(
                sent, model, share, outputs=every, deadline=deadline, priority=priority, shared_by=parts
            )
            if model.spec.task == "segmentation":
                maps = await self._probability_maps(ready, deadline=deadline, priority=priority)
                self.on_prediction(sent, model, maps)
                return ready.result({"probabilities": maps})
            given = await self.averaged(ready, ready.tensor, every, deadline=deadline, priority=priority)
            self.on_prediction(sent, model, given["probabilities"])
            own = given["probabilities"][: len(model.spec.classes)]
            top = int(own.argmax())
            self._count(model, model.spec.classes[top].label, float(own[top]))
            return ready.result(given)

    async def segment(
        self, data: bytes, model: ServedModel, options: SegmentOptions, *, deadline: Deadline
    ) -> Result[Segmented]:
        """Which pixels belong to what, as a picture."""
        with self.allowance.share() as share:
            ready, mask = await self._mask(data, model, share, deadline=deadline)
            with ready.watch.stage("encode"):
                picture = await self.in_thread(segmentation.FORMATS[options.format], mask, ready.image, options)
            return ready.result(Segmented(picture, mask.count))

    async def measure(
        self, data: bytes, model: ServedModel, options: SegmentOptions, *, deadline: Deadline
    ) -> Result[Measured]:
        """The objects found, in numbers."""
        with self.allowance.share() as share:
            ready, mask = await self._mask(data, model, share, deadline=deadline)
            size = options.pixel_size_um or ready.image.pixel_size_um
            with ready.watch.stage("postprocess"):
                classes, objects = await self.in_thread(measure, mask, pixel_size_um=size)
            return ready.result(Measured(size, classes, objects))

    async def _mask(
        self, data: bytes, model: ServedModel, share: Reservation, *, deadline: Deadline
    ) -> tuple[PreparedImage, segmentation.Mask]:
        ready = await self.ready(data, model, share, deadline=deadline)
        probabilities = await self._probability_maps(ready, deadline=deadline)
        self.on_prediction(data, model, probabilities)
        with ready.watch.stage("postprocess"):
            size = (ready.image.height, ready.image.width)
            mask = await self.in_thread(segmentation.interpret, probabilities, model.spec, size=size)
        return ready, mask

    async def ready(
        self,
        data: bytes | Array,
        model: ServedModel,
        share: Reservation,
        *,
        outputs: Sequence[str] = (),
        deadline: Deadline,
        priority: Priority = Priority.INTERACTIVE,
        shared_by: int = 1,
    ) -> PreparedImage:
        """outputs: what averaged() is going to ask for; who is alone here has them at once, in one thread.

        shared_by: images that share the pixels of one.
        """
        metrics = self._metrics.of(model.spec.name)
        watch = Stopwatch(metrics)
        if not isinstance(data, bytes):
            share.take(prod(data.shape[1:]), model.spec, body_bytes=data.nbytes)
            return from_tensor(data, model, watch)
        limit = self._settings.max_pixels // shared_by
        async with self._bulk if priority is Priority.BULK else nullcontext():
            with self._admitted():
                ready = at_once(data, model, watch, max_pixels=limit)
                if ready is None:
                    alone = priority is Priority.INTERACTIVE and self._preparing == 1
                    run = self._runner(model, outputs, deadline) if alone else not_yet
                    ready = await self._made_ready(data, model, watch, share, limit=limit, run=run)
        metrics.took(ready.image, ready.warnings, ready.deviates)
        return ready

    async def _made_ready(
        self, data: bytes, model: ServedModel, watch: Stopwatch, share: Reservation, *, limit: int, run: Runner
    ) -> PreparedImage:
        """make_ready; a large image has its memory reckoned first, from its header."""
        allowed = min(limit, SMALL_PIXELS)
        while True:
            try:
                return await self.in_thread(prepare_image, data, model, watch, max_pixels=allowed, run=run)
            except TooManyPixels as error:
                if allowed == limit:
                    raise
                if error.pixels <= limit:
                    share.take(error.pixels, model.spec, body_bytes=len(data))
                allowed = min(limit, error.pixels)
            except InferenceFailed:
                self._metrics.of(model.spec.name).failed_runs.inc()
                raise

    def _runner(self, model: ServedModel, outputs: Sequence[str], deadline: Deadline) -> Runner:
        """The network in the thread where the image is made ready, if that leaves a thread to others."""
        batcher = None
        if outputs and model.spec.input.size and self._settings.worker_threads > 1:
            batcher = model.batcher.at_hand()
        return partial(batcher.run_inline, outputs=outputs, deadline=deadline) if batcher else not_yet

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        """Counts an image that is made ready. Raises QueueFull: those that wait for a thread must be bounded too."""
        if self._preparing >= self.queue_length:
            raise QueueFull(self.queue_length)
        self._preparing += 1
        try:
            yield
        finally:
            self._preparing -= 1

    async def run(
        self,
        ready: PreparedImage,
        tensor: Array,
        outputs: Sequence[str],
        *,
        deadline: Deadline,
        priority: Priority = Priority.INTERACTIVE,
        admitted: bool = False,
    ) -> dict[str, Array]:
        """tensor (C, H, W) -> each output without its batch axis."""
        metrics = self._metrics.of(ready.model.spec.name)
        ran = ready.ran if tensor is ready.tensor else None
        try:
            ran = ran or await ready.model.batcher.submit(
                tensor[None], outputs, deadline=deadline, priority=priority, admitted=admitted
            )
        except InferenceFailed:
            metrics.failed_runs.inc()
            raise
        ready.watch.ran(ran)
        metrics.ran(ran)
        ready.model.statistics.ran(ran)
        check_finite(ran.outputs["probabilities"], ready.image)
        return {name: output[0] for name, output in ran.outputs.items()}

    async def averaged(
        self,
        ready: PreparedImage,
        tensor: Array,
        outputs: Sequence[str],
        *,
        deadline: Deadline,
        priority: Priority = Priority.INTERACTIVE,
        admitted: bool = False,
    ) -> dict[str, Array]:
        """As run(), the probabilities averaged over the package's flips, each a pass of its own; maps are of the first.

        A tile's flip is the flipped image's tile: both begin at multiples of the network's stride.
        """
        _, *others = orientations(ready.model.spec.flips)
        given = await self.run(ready, tensor, outputs, deadline=deadline, priority=priority, admitted=admitted)
        total = given["probabilities"]
        for axes in others:
            turned = await self.run(
                ready, mirrored(tensor, axes), _PROBABILITIES, deadline=deadline, priority=priority, admitted=True
            )
            part = turned["probabilities"]
            total = total + (mirrored(part, axes) if part.ndim == 3 else part)
        return given | {"probabilities": total / np.float32(1 + len(others))} if others else given

    async def _probability_maps(
        self, ready: PreparedImage, *, deadline: Deadline, priority: Priority = Priority.INTERACTIVE
    ) -> Array:
        """(classes + auxiliary, H, W) float32 in the prepared tensor's pixels, tile by tile where it is large.

        Each tile queues by itself, and those after the first behind who waits for one image, so that a large image
        does not keep a small one waiting. Raises TooLargeForOnePass where tiles would not give the whole's answer.
        """
        spec, (_, height, width) = ready.model.spec, ready.tensor.shape
        if spec.input.size is not None:
            outputs = await self.averaged(ready, ready.tensor, _PROBABILITIES, deadline=deadline, priority=priority)
            return outputs["probabilities"]
        grid = Grid.of(spec, tile_px=self._settings.tile_px)
        padded = await self.in_thread(pad, ready.tensor, min_size=grid.min_size, step=grid.step, border=grid.border)
        if spec.reach == "image" and max(padded.shape[1:]) > grid.tile:
            raise TooLargeForOnePass(width=padded.shape[2], height=padded.shape[1], model=spec.name, limit=grid.tile)
        whole = np.empty((len(spec.channel_names), *(side - 2 * grid.border for side in padded.shape[1:])), np.float32)
        for n, tile in enumerate(plan(height=padded.shape[1], width=padded.shape[2], grid=grid)):
            part = padded[:, *tile.outer]
            outputs = await self.averaged(
                ready,
                part,
                _PROBABILITIES,
                deadline=deadline,
                priority=Priority.BULK if n else priority,
                admitted=n > 0,
            )
            whole[:, *tile.inner] = outputs["probabilities"][:, *tile.crop]
        return whole[:, :height, :width]

    async def in_thread(self, function: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        work = [partial(function, *args, **options)]
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: work.pop()())
        finally:
            work.clear()  # the pool keeps a cancelled job until its turn comes, but then without the image

    def _count(self, model: ServedModel, label: str, probability: float) -> None:
        self._metrics.of(model.spec.name).predicted(label, probability)
