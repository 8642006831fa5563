"""Lifecycle: the models and the pipeline, started and stopped as one."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from models.package import Package
from service.engine.channel import engine_ended
from service.engine.client import follow_engine
from service.errors import NotReady, listed
from service.inference import Session
from service.pipeline.pipeline import Pipeline
from service.pipeline.shadow import ShadowRunner
from service.pipeline.warmup import warm_up
from service.repository import loader
from service.repository.reconciler import Reconciler
from service.repository.state import Repository, ServedModel, drain
from service.scheduling.memory_budget import MemoryBudget
from service.security.audit_log import AuditLog
from service.settings import Settings
from service.telemetry.cluster_statistics import ClusterStatistics, Counts
from service.telemetry.log import log
from service.telemetry.metrics import Metrics, ModelFacts

OnReady = Callable[[Repository], None]


class Runtime:
    """Holds what requests share. `repository` is replaced whole, so a request sees one state of it."""

    def __init__(self, settings: Settings, *, on_ready: OnReady, audit_log: AuditLog | None = None) -> None:
        """audit_log: the audit log; while it cannot be written no answer goes out, so the service is not ready."""
        self.settings = settings
        self._audit_log = audit_log
        self.metrics = Metrics()
        self.metrics.models, self.metrics.is_ready = self._facts, self._is_ready
        self.cluster_statistics = ClusterStatistics(self._counts)
        self._shadows = ShadowRunner(settings, self._shadow_of)
        self.pipeline = Pipeline(settings, self.metrics)
        self.memory = MemoryBudget.of(settings)
        self._repository: Repository | None = None
        self._why_not = "The models are still being loaded."
        self._on_ready: OnReady | None = on_ready
        self._changed = asyncio.Event()
        self._keeper: Reconciler | None = None
        self._draining: dict[asyncio.Task[None], Repository] = {}

    @property
    def repository(self) -> Repository:
        """Raises NotReady until the packages have been verified and warmed."""
        if self._repository is None:
            raise NotReady(self._why_not)
        return self._repository

    async def with_cluster_statistics(self) -> Repository:
        """The repository with what all front ends together have counted. Raises NotReady."""
        counts = await asyncio.to_thread(self.cluster_statistics.total)
        return self.repository.with_statistics(counts)

    def check_ready(self) -> None:
        """Raises NotReady, which says why, unless every wanted model serves."""
        missing = self.repository.missing()
        if missing:
            raise NotReady(f"Wanted models that do not serve: {listed(missing)}; GET /models says why.")
        if not self.repository.served:
            raise NotReady(f"No model serves: there is no sound package under {str(self.settings.models)!r}.")
        if self._audit_log and not self._audit_log.is_writable():
            raise NotReady("The audit log cannot be written, so answers are withheld.")

    async def run(self, opener: Callable[[Package], Session] | None = None) -> None:
        """Loads the models while /livez already answers, and follows every change until it is cancelled.

        A front end of an engine process learns what that serves.
        """
        settings = self.settings
        log.configure(settings.log_level)
        if not settings.engine_socket:
            self._keeper = loader.create_reconciler(settings, opener, publish=self._serve)
            await self._keeper.run()
        following = asyncio.create_task(
            follow_engine(
                Path(settings.engine_socket),
                length=settings.queue_length,
                wanted=settings.wanted,
                on_connect=self._join,
                on_loss=self._lose,
            )
        )
        following.add_done_callback(_end)
        await following

    async def settled(self, revision: int) -> Repository:
        """The first state that follows plans of this revision, or of a later one. Raises NotReady."""
        if self._keeper:
            self._keeper.wake()
        while self.repository.rollouts.revision < revision:
            await self._changed.wait()
        return self.repository

    def close(self) -> None:
        self.pipeline.close()
        self._shadows.close()
        for draining, former in self._draining.items():
            draining.cancel()
            former.close()
        if self._keeper is not None:
            self._keeper.close()
        elif self._repository is not None:
            self._repository.close()

    async def _join(self, now: Repository) -> None:
        """What an engine serves, over a connection of its own; the former one ends with its last request."""
        former = self._repository
        await self._serve(now)
        if former is not None:
            draining = asyncio.create_task(drain(former, now))
            self._draining[draining] = former
            draining.add_done_callback(self._draining.pop)

    async def _serve(self, now: Repository) -> None:
        former = self._repository or Repository()
        known = {model.package.sha256 for model in former.all_models()}
        new = [model for model in now.all_models() if model.package.sha256 not in known]
        await warm_up(new, self.settings)
        self._repository = now
        self.pipeline.on_prediction = self._shadows.on_prediction if now.shadows else None
        self._changed.set()
        self._changed = asyncio.Event()
        if self._on_ready is not None:  # the first time only
            self._on_ready(now)
            self._on_ready = None

    def _shadow_of(self, model: ServedModel) -> ServedModel | None:
        """The version that is to see what this one has answered."""
        now = self._repository
        return now.shadows.get(model.spec.name) if now and now.served.get(model.spec.name) is model else None

    def _lose(self) -> None:
        """The engine process ended."""
        self._repository, self._why_not = None, str(engine_ended())

    def _counts(self) -> Counts | None:
        now = self._repository
        return {model.package.sha256: model.statistics for model in now.all_models()} if now else None

    def _is_ready(self) -> bool:
        try:
            self.check_ready()
        except NotReady:
            return False
        return True

    def _facts(self) -> Iterator[ModelFacts]:
        """What the metrics tell of every version; of none while there is no repository."""
        now = self._repository or Repository()
        for model in now.all_models():
            compared = model.statistics.comparison
            yield ModelFacts(
                model.spec.name,
                model.spec.version,
                "ready" if model.batcher.loaded else "unloaded",
                serves=True,
                sha256=model.package.sha256,
                provider=model.provider,
                task=model.spec.task,
                nbytes=model.nbytes,
                depth=model.batcher.depth,
                compared=compared.compared,
                differed=compared.differed,
            )
        for spare in now.inactive:
            yield ModelFacts(spare.package.spec.name, spare.package.spec.version, "inactive")
        for refused in now.invalid:
            yield ModelFacts(refused.name, refused.version, "invalid")


def _end(following: asyncio.Task[None]) -> None:
    """No engine will come again: a front end that stayed would answer 503 for ever, and keep the port."""
    if not following.cancelled():
        signal.raise_signal(signal.SIGTERM)
