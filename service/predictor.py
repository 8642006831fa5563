"""Predictor: a model package as a Python object, by the service's own pipeline and without HTTP."""

import asyncio
import threading
from collections.abc import Coroutine
from functools import cached_property, partial
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, cast

import numpy as np

from models.errors import UnsupportedImage
from models.image import Array
from models.source import ArraySource
from models.spec import ModelSpec
from service.api.answers import ClassProbability, InputInfo, InputWarning, MeasuredObject, WireModel
from service.inference import Device
from service.pipeline.pipeline import Pipeline, Result, Sent
from service.repository.errors import WrongTask
from service.repository.loader import open_package
from service.repository.state import ServedModel
from service.repository.verifier import read_verified
from service.scheduling.batcher import Batcher
from service.scheduling.work import Deadline, Work
from service.settings import Settings
from service.tasks import TASKS
from service.tasks.cam import CamOptions, Evidence
from service.tasks.classification import Classified, PredictOptions
from service.tasks.mask import Mask
from service.tasks.segmentation import SegmentOptions, label_image
from service.tasks.task import Document
from service.telemetry.metrics import Metrics

T = TypeVar("T")
ImageLike = Array | bytes | str | PathLike[str]


class Predictor:
    """A verified package, ready to run; for any thread. Close it, or use it in a `with` block."""

    def __init__(self, model: ServedModel, settings: Settings) -> None:
        """Use Predictor.load."""
        self.model = model
        self._timeout_s = settings.timeout_s
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="predictor", daemon=True)
        self._thread.start()
        self._pipeline = Pipeline(settings, Metrics())

    @classmethod
    def load(cls, folder: str | PathLike[str], *, device: Device = "auto") -> "Predictor":
        """Loads the package in <name>/<version>, proved by its own test outputs on this device.

        Raises PackageError, DeviceUnavailable, InferenceFailed.
        """
        settings = Settings(device=device)
        package, session = read_verified(Path(folder), open_session=partial(open_package, settings))
        batcher = Batcher(session, length=settings.queue_length)
        return cls(ServedModel(package, session.provider, batcher), settings)

    @property
    def spec(self) -> ModelSpec:
        return self.model.spec

    def __call__(self, image: ImageLike) -> "ImageResult":
        """Runs one image: (H, W) or (H, W, 1 or 3) of any dtype, a file's bytes, or its path.

        A signal is (samples,) or (channels, samples). Raises ImageError, ValuesTooLarge, OSError.
        """
        return ImageResult(self, _sent(image, self.spec))

    def __enter__(self) -> "Predictor":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._pipeline.close()
        self.model.batcher.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def ask(self, task: str, options: WireModel, sent: Sent) -> Result[Any]:
        """Answers one of TASKS. Raises WrongTask, and what the task raises."""
        kind = TASKS[task].kind
        if kind != self.spec.task:
            raise WrongTask(self.spec.name, task=self.spec.task, asked=kind, able=())
        return self._wait(self._answer(task, options, sent))

    def infer(self, sent: Sent) -> Result[Any]:
        """Returns the network's own outputs."""
        return self._wait(self._infer(sent))

    async def _answer(self, task: str, options: WireModel, sent: Sent) -> Result[Any]:
        return await self._pipeline.answer(TASKS[task], sent, self.model, options, self._work())

    async def _infer(self, sent: Sent) -> Result[Any]:
        return await self._pipeline.infer(sent, self.model, (), self._work())

    def _work(self) -> Work:
        return Work(Deadline.after(self._timeout_s))

    def _wait(self, answer: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(answer, self._loop).result()


class ImageResult:
    """The answers about one image, each computed when it is first asked for."""

    def __init__(self, predictor: Predictor, sent: Sent) -> None:
        self._predictor, self._sent = predictor, sent
        self._first = predictor.infer(sent) if predictor.spec.task == "classification" else self._segmented

    @property
    def input(self) -> InputInfo:
        return self._first.input

    @property
    def warnings(self) -> tuple[InputWarning, ...]:
        return self._first.warnings

    @property
    def probabilities(self) -> Array:
        """(classes,) float32 of a classifier; (classes, H, W) float32 of a segmenter, in the image's pixels."""
        spec = self._predictor.spec
        if spec.task == "segmentation":
            return self._mask.probabilities
        outputs: dict[str, Array] = self._first.value
        return outputs[spec.names["probabilities"]][: len(spec.classes)]

    @cached_property
    def classes(self) -> tuple[ClassProbability, ...]:
        """Every class, most probable first."""
        options = PredictOptions(top_k=len(self._predictor.spec.classes))
        return cast(Classified, self._predictor.ask("predict", options, self._sent).findings).classes

    @property
    def mask(self) -> Array:
        """(H, W): each pixel's object number, or its class's value if the model separates no objects."""
        return label_image(self._mask)

    @property
    def objects(self) -> tuple[MeasuredObject, ...]:
        """Every object of a segmentation, measured."""
        return cast(Document, self._segmented.value).raw["objects"]  # type: ignore[no-any-return]

    def cam(self, label: str | None = None, *, method: str | None = None) -> Array:
        """(H, W) float32: the evidence for a class, the most probable by default.

        Raises UnknownLabel, UnknownMethod, NoMap.
        """
        options = CamOptions.model_validate({"label": label, "method": method, "format": "raw"})
        return cast(Evidence, self._predictor.ask("cam", options, self._sent).findings).values

    @cached_property
    def _segmented(self) -> Result[Any]:
        return self._predictor.ask("segment", SegmentOptions(format="measurements"), self._sent)

    @property
    def _mask(self) -> Mask:
        return cast(Mask, self._segmented.findings)


def _sent(image: ImageLike, spec: ModelSpec) -> Sent:
    if isinstance(image, bytes):
        return image
    if not isinstance(image, np.ndarray):
        return Path(image).read_bytes()
    if image.dtype.kind not in "uifb":
        raise UnsupportedImage(f"The array is of {image.dtype}; it must be of numbers.")
    if spec.input.kind == "signal":
        return ArraySource(np.atleast_2d(image), "CX")
    axes = {2: "YX", 3: "YXS"}.get(image.ndim)
    if axes is None:
        raise UnsupportedImage(f"The array is {image.shape}; it must be (H, W) or (H, W, 1 or 3).")
    return ArraySource(image, axes)
