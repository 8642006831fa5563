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
from service.repository.drain import Drain
from service.repository.reconciler import Reconciler
from service.repository.state import CurrentState, Repository, ServedModel
from service.sandbox.decoders import DecodeProcesses
from service.scheduling.memory_budget import MemoryBudget
from service.security.audit_log import AuditLog
from service.settings import Settings
from service.telemetry.cluster_statistics import ClusterStatistics, Counts
from service.telemetry.log import log
from service.telemetry.metrics import Metrics, ModelFacts

OnReady = Callable[[Repository], None]


class Runtime:
    """What requests share."""

    def __init__(
        self, settings: Settings, *, on_ready: OnReady, decoders: DecodeProcesses, audit_log: AuditLog | None = None
    ) -> None:
        """decoders: closed with this. audit_log: while it cannot be written, no answer goes out; it is not ready."""
        self.settings = settings
        self._audit_log = audit_log
        self.metrics = Metrics()
        self.metrics.models, self.metrics.is_ready = self._facts, self._is_ready
        self.metrics.is_repository_available = lambda: not self.absence
        self.cluster_statistics = ClusterStatistics(self._counts)
        self._decoders = decoders
        self.memory = MemoryBudget.of(settings)
        self._shadows = ShadowRunner(settings, self._shadow_of, decoders=self._decoders, memory=self.memory)
        self.pipeline = Pipeline(settings, self.metrics, decoders=self._decoders)
        self._expose_accounts()
        self.state = CurrentState()
        self._on_ready: OnReady | None = on_ready
        self._changed = asyncio.Event()
        self._keeper: Reconciler | None = None
        self._draining = Drain()

    def _expose_accounts(self) -> None:
        """Has the metrics show what requests hold: 0 when there are none."""
        self.metrics.preparing.set_function(lambda: self.pipeline.scheduler.preparing)
        self.metrics.reserved.labels("budget").set_function(lambda: self.memory.reserved_bytes)
        self.metrics.reserved.labels("small").set_function(lambda: self.memory.small_bytes)

    async def with_cluster_statistics(self) -> Repository:
        """Returns the repository with the statistics of all front ends. Raises NotReady."""
        counts = await asyncio.to_thread(self.cluster_statistics.total)
        return self.state.current.with_statistics(counts)

    @property
    def absence(self) -> str:
        """Why the models' folder cannot be read, while what was loaded goes on serving; empty if it can."""
        now = self.state.known
        return f"The folder {str(self.settings.models)!r}: {now.absence}." if now and now.absence else ""

    async def check_ready(self) -> None:
        """Raises NotReady with the reason, unless every wanted model serves and answers can be audited."""
        if self._audit_log:
            await asyncio.to_thread(self._audit_log.check)  # off the event loop: a disk may be slow
        self._check_ready()

    def _check_ready(self) -> None:
        missing = self.state.current.missing()
        if missing:
            raise NotReady(f"Wanted models that do not serve: {listed(missing)}; GET /models says why.")
        if not self.state.current.served:
            raise NotReady(f"No model serves: there is no sound package under {str(self.settings.models)!r}.")
        if not self.pipeline.scheduler.has_worker:
            raise NotReady("No worker can take an image: each is busy with one whose deadline has passed.")
        if self._audit_log and self._audit_log.failure:
            raise NotReady(f"Answers are withheld because the audit log cannot be written: {self._audit_log.failure}.")

    async def run(self, opener: Callable[[Package], Session] | None = None) -> None:
        """Loads the models while /livez already answers, and applies every change until it is cancelled.

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
        """Waits for a state that applies rollouts of this revision, or of a later one. Raises NotReady."""
        if self._keeper:
            self._keeper.wake()
        while self.state.current.rollouts.revision < revision:
            await self._changed.wait()
        return self.state.current

    def close(self) -> None:
        self._decoders.close()  # first, since threads wait for them
        self.pipeline.close()
        self._shadows.close()
        self._draining.close()
        if self._keeper is not None:
            self._keeper.close()
        elif self.state.known is not None:
            self.state.known.close()

    async def _join(self, now: Repository) -> None:
        """Takes over the models of a new engine connection; the previous one ends with its last request."""
        former = self.state.known
        await self._serve(now)
        if former is not None:
            self._draining.begin(former, now)

    async def _serve(self, now: Repository) -> None:
        former = self.state.known or Repository()
        known = {model.package.sha256 for model in former.all_models()}
        new = [model for model in now.all_models() if model.package.sha256 not in known]
        await warm_up(new, self.settings)
        self.state.known = now
        self.pipeline.on_prediction = self._shadows.on_prediction if now.shadows else None
        self._changed.set()
        self._changed = asyncio.Event()
        if self._on_ready is not None:  # the first time only
            self._on_ready(now)
            self._on_ready = None

    def _shadow_of(self, model: ServedModel) -> ServedModel | None:
        """Returns the shadow of the version that serves, if this is it."""
        now = self.state.known
        return now.shadows.get(model.spec.name) if now and now.served.get(model.spec.name) is model else None

    def _lose(self) -> None:
        """Drops the models of an engine process that has ended."""
        self.state.known, self.state.unknown_because = None, str(engine_ended())

    def _counts(self) -> Counts | None:
        now = self.state.known
        return {model.package.sha256: model.statistics for model in now.all_models()} if now else None

    def _is_ready(self) -> bool:
        try:
            self._check_ready()
        except NotReady:
            return False
        return True

    def _facts(self) -> Iterator[ModelFacts]:
        """Yields the metrics' facts about every version."""
        now = self.state.known or Repository()
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
    """Ends this process: without an engine it would answer 503 for ever, and keep the port."""
    if not following.cancelled():
        signal.raise_signal(signal.SIGTERM)
