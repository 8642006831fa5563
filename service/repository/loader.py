"""Model loading as configured by the settings."""

from collections.abc import Callable
from functools import partial

from models.package import Package
from service.inference import Gpu, Session, cpu_arena, open_session
from service.inference.activation_memory import ActivationMemory
from service.repository.network_loading import LoadOptions
from service.repository.prover import ProofOptions
from service.repository.reconciler import Publish, Reconciler
from service.scheduling.batcher import Batcher
from service.scheduling.memory_plan import MemoryPlan
from service.settings import Settings


def create_reconciler(
    settings: Settings, opener: Callable[[Package], Session] | None = None, *, publish: Publish
) -> Reconciler:
    """Returns a reconciler that has not scanned yet. opener: ONNX Runtime on the settings' device by default.

    Raises TooLittleMemory.
    """
    memory = MemoryPlan.of(settings)
    cpu_arena.limit(memory.activations)
    options = LoadOptions(
        settings.models,
        open_session=opener or partial(open_package, settings),
        open_batcher=partial(Batcher, length=settings.queue_length, bound_s=settings.batch_bound_s),
        queue_length=settings.queue_length,
        wanted=settings.wanted,
        limit_bytes=settings.loaded_bytes or memory.weights,
        rescan_s=settings.rescan_s,
        proof=ProofOptions(settings.proof_timeout_s, memory.proofs, settings.batch_sizes, settings.batch_bound_s),
        activations=ActivationMemory(memory.activations),
    )
    return Reconciler(options, publish=publish)


def gpu_options(settings: Settings) -> Gpu:
    return Gpu(settings.gpu_engine, settings.gpu_memory_bytes, settings.engine_cache)


def open_package(settings: Settings, package: Package) -> Session:
    return open_session(
        package.network(),
        device=settings.device,
        threads=settings.session_threads,
        buckets=settings.batch_sizes,
        gpu=gpu_options(settings),
        precision=package.spec.precision,
    )
