"""Every kind of answer once, before callers ask: nobody's request is to pay for what happens only once."""

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
from service.api.options import CamOptions, PredictOptions, SegmentOptions
from service.encode.npy import npy
from service.encode.png import png
from service.pipeline.explain import class_map
from service.pipeline.pipeline import Pipeline
from service.repository.state import ServedModel
from service.scheduling.deadline import Deadline
from service.settings import Settings
from service.telemetry.metrics import Metrics
from service.telemetry.model_statistics import Statistics


async def warm_up(models: Iterable[ServedModel], settings: Settings) -> None:
    """Imports codecs, starts threads and runs every stage, each model by its own test image; nothing is counted."""
    await asyncio.get_running_loop().run_in_executor(None, _decode_each_format)
    pipeline = Pipeline(settings, Metrics())
    for model in models:
        with suppress(StriateError):  # a test tensor need not be an image that a caller may send
            uncounted = replace(model, statistics=Statistics())
            await _ask(pipeline, _file(model), uncounted, Deadline.after(settings.timeout_s))
    pipeline.close()


async def _ask(pipeline: Pipeline, image: bytes, model: ServedModel, deadline: Deadline) -> None:
    if model.spec.task == "segmentation":
        await pipeline.segment(image, model, SegmentOptions(), deadline=deadline)
        await pipeline.measure(image, model, SegmentOptions(), deadline=deadline)
        return
    await pipeline.predict(image, model, PredictOptions(), deadline=deadline)
    if model.spec.cam:
        options = CamOptions(format="raw" if model.spec.input.kind == "signal" else "overlay")
        await class_map(pipeline, image, model, options, deadline=deadline)


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
