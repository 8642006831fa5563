"""What runs: the settings, the models that serve, and the pipeline; started and stopped as one."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from service import repository
from service.batching import Batcher
from service.errors import NotReady, listed
from service.logs import configure, log
from service.metrics import Metrics
from service.pipeline import Pipeline
from service.repository import Repository
from service.session import OnnxSession, Session
from service.settings import Settings

OnReady = Callable[[Repository], None]


class Runtime:
    """Holds what requests share. `repository` is replaced whole, so a request sees one state of it."""

    def __init__(self, settings: Settings, *, on_ready: OnReady) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.pipeline = Pipeline(settings, self.metrics)
        self._repository: Repository | None = None
        self._on_ready = on_ready

    @property
    def repository(self) -> Repository:
        """Raises NotReady until the packages have been verified and warmed."""
        if self._repository is None:
            raise NotReady("The models are still being loaded.")
        return self._repository

    def check_ready(self) -> None:
        """Raises NotReady, which says why, unless every wanted model serves."""
        missing = self.repository.missing()
        if missing:
            raise NotReady(f"Wanted models that do not serve: {listed(missing)}; GET /models says why.")
        if not self.repository.served:
            raise NotReady(f"No model serves: there is no sound package under {str(self.settings.models)!r}.")

    async def start(self, open_session: Callable[[Path], Session] | None = None) -> None:
        """Loads the models while /livez already answers."""
        configure(self.settings.log_level)
        settings = self.settings
        load = partial(
            repository.load,
            settings.models,
            open_session=open_session or partial(_open_session, settings),
            open_batcher=partial(Batcher, length=settings.queue_length),
            wanted=settings.wanted,
        )
        with ThreadPoolExecutor(1, thread_name_prefix="loader") as loader:
            loaded = await asyncio.get_running_loop().run_in_executor(loader, load)
        self._publish(loaded)
        self._repository = loaded
        self._on_ready(loaded)

    def close(self) -> None:
        self.pipeline.close()
        if self._repository is not None:
            self._repository.close()

    def _publish(self, loaded: Repository) -> None:
        """The repository's state in metrics and log."""
        metrics = self.metrics
        for name, model in loaded.served.items():
            spec = model.spec
            metrics.model_info.labels(name, spec.version, model.package.sha256, model.provider, spec.task).set(1)
            metrics.model_ready.labels(name, spec.version).set(1)
            metrics.queue_depth.labels(name).set_function(partial(_depth, model.batcher))
            log.info("model", extra={"fields": {"model": name, "version": spec.version, "provider": model.provider}})
        for refused in loaded.refused:
            metrics.model_ready.labels(refused.name, refused.version).set(0)
            fields = {"model": refused.name, "version": refused.version, "reason": refused.reason}
            log.error("model refused", extra={"fields": fields})
        metrics.models_refused.set(len(loaded.refused))


def _open_session(settings: Settings, weights: Path) -> Session:
    return OnnxSession(weights, device=settings.device, threads=settings.session_threads)


def _depth(batcher: Batcher) -> float:
    return batcher.depth
