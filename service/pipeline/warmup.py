"""Warm-up: every task once for each model, before requests: no request pays for what happens only once."""

import asyncio
import io
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

import imagecodecs
import numpy as np
import tifffile

from models.decode import decode
from models.errors import StriateError
from service.encode.npy import npy
from service.encode.png_writer import png
from service.pipeline.pipeline import Pipeline
from service.repository.state import ServedModel
from service.scheduling.work import Deadline, Work
from service.settings import Settings
from service.tasks import TASKS
from service.telemetry.log import log
from service.telemetry.metrics import Metrics
from service.telemetry.model_metrics import Statistics


async def warm_up(models: Iterable[ServedModel], settings: Settings) -> None:
    """Imports codecs, starts threads and runs every stage, each model on its own test image; nothing is counted."""
    await asyncio.get_running_loop().run_in_executor(None, _decode_each_format)
    pipeline = Pipeline(settings, Metrics())
    for model in models:
        try:
            await _warm_up_model(model, pipeline, settings)
        except Exception as error:  # noqa: BLE001  whatever a package causes, the other models serve
            log.write("error", "model not warmed up", model=model.spec.name, version=model.spec.version)
            log.exception(error, request_id="models")
    pipeline.close()


async def _warm_up_model(model: ServedModel, pipeline: Pipeline, settings: Settings) -> None:
    uncounted = replace(model, statistics=Statistics())
    image = _file(model)
    for task in TASKS.values():
        for options in task.warm_up_options(model.spec) if task.kind == model.spec.task else ():
            with suppress(StriateError):  # a test tensor need not be an image that a caller may send
                work = Work(Deadline.after(settings.timeout_s))
                await pipeline.answer(task, image, uncounted, options, work)


def _file(model: ServedModel) -> bytes:
    """The package's test input as a caller would send it: a signal's (C, L), or (H, W) or (H, W, 3) in 8 bits."""
    pixels = model.package.test_tensors()[0][0]
    if model.spec.input.kind == "signal":
        return npy(pixels[:, 0])
    return png(np.ascontiguousarray(np.moveaxis(pixels, 0, 2).clip(0, 255).astype(np.uint8).squeeze()))


def _decode_each_format() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    file = io.BytesIO()
    tifffile.imwrite(file, pixels)
    for data in (png(pixels), bytes(imagecodecs.jpeg8_encode(pixels)), file.getvalue()):
        decode(data, max_pixels=pixels.size)
