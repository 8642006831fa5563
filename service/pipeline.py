"""From an image's bytes to its answer, stage by stage; knows no HTTP."""

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Generic, ParamSpec, TypeVar

import numpy as np

from models.decode import decode
from models.errors import ImageTooSmall
from models.image import Array, Image
from models.preprocess import pad, prepare
from models.spec import ModelSpec
from service.cautions import cautions
from service.deadline import Deadline
from service.errors import QueueFull, ValuesTooLarge
from service.metrics import Metrics
from service.repository import Served
from service.schemas import (
    CamOptions,
    Caution,
    ClassProbability,
    InputInfo,
    MeasuredClass,
    MeasuredObject,
    PredictOptions,
    SegmentOptions,
    Timings,
)
from service.settings import Settings
from service.tasks import cam, segmentation
from service.tasks.classification import classify
from service.tasks.measurement import measure_classes, measure_objects
from service.tasks.picture import Picture
from service.tiling import Grid, plan
from service.timing import Stopwatch

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Result(Generic[T]):
    """What came out for one image, and what every answer tells of it."""

    value: T
    model: Served
    input: InputInfo
    warnings: tuple[Caution, ...]
    timings: Timings


@dataclass(frozen=True, slots=True)
class Measured:
    pixel_size_um: float | None
    classes: tuple[MeasuredClass, ...]
    objects: tuple[MeasuredObject, ...]


@dataclass(frozen=True, slots=True)
class Mapped:
    """A class activation map as a picture, and the class it is of."""

    picture: Picture
    label: str
    probability: float


@dataclass(frozen=True, slots=True)
class Segmented:
    picture: Picture
    count: int


@dataclass(frozen=True, slots=True)
class Ready:
    """An image that is ready for the network: tensor (C, H, W) float32."""

    model: Served
    image: Image
    input: InputInfo
    tensor: Array
    warnings: tuple[Caution, ...]
    watch: Stopwatch

    def result(self, value: T) -> Result[T]:
        return Result(value, self.model, self.input, self.warnings, self.watch.finish())


class Pipeline:
    """Answers one image at a time, any number of them at once; everything slow runs in threads."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._threads = ThreadPoolExecutor(settings.worker_threads, thread_name_prefix="image")
        self._preparing = 0

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def predict(
        self, data: bytes, model: Served, options: PredictOptions, *, deadline: Deadline
    ) -> Result[tuple[ClassProbability, ...]]:
        """Which classes the image shows."""
        ready = await self._ready(data, model, deadline=deadline)
        outputs = await self._run(ready, ready.tensor, ("probabilities",), deadline=deadline)
        with ready.watch.stage("postprocess"):
            classes = classify(outputs["probabilities"], model.spec, top_k=options.top_k)
        self._count(model, classes[0].label, classes[0].probability)
        return ready.result(classes)

    async def cam(self, data: bytes, model: Served, options: CamOptions, *, deadline: Deadline) -> Result[Mapped]:
        """Where the network saw a class."""
        cam.place_of(options.label, model.spec)
        ready = await self._ready(data, model, deadline=deadline)
        outputs = await self._run(ready, ready.tensor, ("probabilities", "cam"), deadline=deadline)
        with ready.watch.stage("postprocess"):
            size = (ready.image.height, ready.image.width)
            found = await self._thread(cam.activation_map, outputs, model.spec, label=options.label, size=size)
        with ready.watch.stage("encode"):
            picture = await self._thread(cam.FORMATS[options.format], found, ready.image, options)
        return ready.result(Mapped(picture, found.label, found.probability))

    async def segment(
        self, data: bytes, model: Served, options: SegmentOptions, *, deadline: Deadline
    ) -> Result[Segmented]:
        """Which pixels belong to what, as a picture."""
        ready, mask = await self._mask(data, model, deadline=deadline)
        with ready.watch.stage("encode"):
            picture = await self._thread(segmentation.FORMATS[options.format], mask, ready.image, options)
        return ready.result(Segmented(picture, mask.count))

    async def measure(
        self, data: bytes, model: Served, options: SegmentOptions, *, deadline: Deadline
    ) -> Result[Measured]:
        """The objects found, in numbers."""
        ready, mask = await self._mask(data, model, deadline=deadline)
        size = options.pixel_size_um or ready.image.pixel_size_um
        with ready.watch.stage("postprocess"):
            classes = await self._thread(measure_classes, mask, pixel_size_um=size)
            objects = await self._thread(measure_objects, mask, pixel_size_um=size)
        return ready.result(Measured(size, classes, objects))

    async def _mask(self, data: bytes, model: Served, *, deadline: Deadline) -> tuple[Ready, segmentation.Mask]:
        ready = await self._ready(data, model, deadline=deadline)
        probabilities = await self._probability_maps(ready, deadline=deadline)
        with ready.watch.stage("postprocess"):
            size = (ready.image.height, ready.image.width)
            mask = await self._thread(segmentation.interpret, probabilities, model.spec, size=size)
        return ready, mask

    async def _ready(self, data: bytes, model: Served, *, deadline: Deadline) -> Ready:
        watch = Stopwatch(self._metrics, model=model.spec.name)
        with self._admitted():
            async with deadline.enforced():
                with watch.stage("decode"):
                    image, info = await self._thread(read, data, model.spec, max_pixels=self._settings.max_pixels)
                with watch.stage("preprocess"):
                    tensor, warnings = await self._thread(prepare_and_judge, image, model.spec)
        for warning in warnings:
            self._metrics.input_warnings.labels(model.spec.name, warning.code).inc()
        return Ready(model, image, info, tensor, warnings, watch)

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        """Counts an image that is made ready. Raises QueueFull: those that wait for a thread must be bounded too."""
        if self._preparing >= self._settings.queue_length:
            raise QueueFull(self._settings.queue_length)
        self._preparing += 1
        try:
            yield
        finally:
            self._preparing -= 1

    async def _run(
        self, ready: Ready, tensor: Array, outputs: Sequence[str], *, deadline: Deadline, admitted: bool = False
    ) -> dict[str, Array]:
        """tensor (C, H, W) -> each output without its batch axis."""
        ran = await ready.model.batcher.submit(tensor[None], outputs, deadline=deadline, admitted=admitted)
        ready.watch.add("queue", ran.queue_s)
        ready.watch.add("infer", ran.infer_s)
        self._metrics.batch_size.labels(ready.model.spec.name).observe(ran.batch_size)
        _check_finite(ran.outputs["probabilities"], ready.image)
        return {name: output[0] for name, output in ran.outputs.items()}

    async def _probability_maps(self, ready: Ready, *, deadline: Deadline) -> Array:
        """(classes + auxiliary, H, W) float32 in the prepared tensor's pixels, tile by tile where it is large.

        Each tile queues by itself, so that a large image does not keep a small one waiting.
        """
        spec, (_, height, width) = ready.model.spec, ready.tensor.shape
        if spec.input.size is not None:
            return (await self._run(ready, ready.tensor, ("probabilities",), deadline=deadline))["probabilities"]
        grid = Grid.of(spec, tile_px=self._settings.tile_px)
        padded = await self._thread(pad, ready.tensor, min_size=grid.min_size, step=grid.step, border=grid.border)
        whole = np.empty((len(spec.channel_names), *(side - 2 * grid.border for side in padded.shape[1:])), np.float32)
        for n, tile in enumerate(plan(height=padded.shape[1], width=padded.shape[2], grid=grid)):
            part = padded[:, *tile.outer]
            outputs = await self._run(ready, part, ("probabilities",), deadline=deadline, admitted=n > 0)
            whole[:, *tile.inner] = outputs["probabilities"][:, *tile.crop]
        return whole[:, :height, :width]

    async def _thread(self, function: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(function, *args, **options))

    def _count(self, model: Served, label: str, probability: float) -> None:
        self._metrics.predictions.labels(model.spec.name, label).inc()
        self._metrics.confidence.labels(model.spec.name).observe(probability)


def read(data: bytes, spec: ModelSpec, *, max_pixels: int) -> tuple[Image, InputInfo]:
    """A file's bytes -> Image and what the answer says of it. Raises ImageError."""
    image = decode(data, max_pixels=max_pixels)
    if min(image.height, image.width) < spec.input.smallest_image:
        raise ImageTooSmall(width=image.width, height=image.height, minimum=spec.input.smallest_image)
    return image, InputInfo(
        width=image.width,
        height=image.height,
        channels=image.channels,
        dtype=image.pixels.dtype.name,
        format=image.format,
        sha256=hashlib.sha256(data).hexdigest(),
    )


def prepare_and_judge(image: Image, spec: ModelSpec) -> tuple[Array, tuple[Caution, ...]]:
    """Image -> tensor (C, H, W) float32, what speaks against trusting the answer. Raises NotFinite, ValuesTooLarge."""
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused next
        tensor = prepare(image.pixels, channels=spec.input.channels, size=spec.input.size, steps=spec.input.steps)
    _check_finite(tensor, image)
    return tensor, cautions(image, tensor, spec)


def _check_finite(values: Array, image: Image) -> None:
    if not np.isfinite(values).all():
        raise ValuesTooLarge(low=float(image.pixels.min()), high=float(image.pixels.max()))
