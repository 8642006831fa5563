"""What the settings say of loading models, as the keeper takes it."""

import math
from collections.abc import Callable
from functools import partial

from models.package import Package
from service.inference import Gpu, Session, open_session
from service.repository.reconciler import LoadOptions, Publish, Reconciler
from service.scheduling.batcher import Batcher
from service.settings import Settings


def keeper(settings: Settings, opener: Callable[[Package], Session] | None = None, *, publish: Publish) -> Reconciler:
    """A keeper that has looked at nothing yet. opener: ONNX Runtime on the settings' device by default."""
    loading = LoadOptions(
        settings.models,
        open_session=opener or partial(_open_session, settings),
        open_batcher=partial(Batcher, length=settings.queue_length, bound_s=settings.batch_bound_s),
        length=settings.queue_length,
        wanted=settings.wanted,
        limit_bytes=settings.loaded_bytes or math.inf,
        rescan_s=settings.rescan_s,
    )
    return Reconciler(loading, publish=publish)


def gpu(settings: Settings) -> Gpu:
    return Gpu(settings.gpu_engine, settings.gpu_memory_bytes, settings.engine_cache)


def _open_session(settings: Settings, package: Package) -> Session:
    return open_session(
        package.network(),
        device=settings.device,
        threads=settings.session_threads,
        buckets=settings.batch_sizes,
        gpu=gpu(settings),
        precision=package.spec.precision,
    )
