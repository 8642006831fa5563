"""Background telemetry: process, GPU and event loop metrics, and the periodic writing of multiprocess metrics."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path

from service.settings import Settings
from service.telemetry.cluster_statistics import ClusterStatistics
from service.telemetry.metrics import Metrics
from service.telemetry.multiprocess import MultiprocessMetrics, write_periodically
from service.telemetry.process_metrics import ProcessCollector, observe_loop_lag, register_gpus

# Process names; a front end is called front_end_1 or another number.
SERVICE_PROCESS, ENGINE_PROCESS = "service", "engine"


@asynccontextmanager
async def background_telemetry(
    settings: Settings,
    metrics: Metrics,
    *,
    process: str = SERVICE_PROCESS,
    folder: Path | None = None,
    cluster_statistics: ClusterStatistics | None = None,
) -> AsyncIterator[None]:
    """Collects this process's own metrics while the block runs.

    process: its name. folder: the folder of the engine's socket, if there are several processes, in which they share
    their metrics. cluster_statistics: a front end's model statistics, which are shared there as well.
    """
    metrics.registry.register(ProcessCollector(process))
    if process in (SERVICE_PROCESS, ENGINE_PROCESS) and settings.device != "cpu":  # this process runs the networks
        register_gpus(metrics)
    with ExitStack() as stack:
        stack.callback(asyncio.create_task(observe_loop_lag(metrics.loop_lag)).cancel)
        if folder:
            multiprocess = MultiprocessMetrics(metrics, folder / "metrics", process)
            metrics.scrape = multiprocess.exposition
            writers = [multiprocess.write]
            if cluster_statistics:
                writers.append(cluster_statistics.attach(folder / "statistics", process))
            for write in writers:
                stack.callback(_write_last, write)
                stack.callback(asyncio.create_task(write_periodically(write)).cancel)
        yield


def _write_last(write: Callable[[], None]) -> None:
    """Writes the final counts, unless the folder was removed with the service's first process."""
    with suppress(OSError):
        write()
