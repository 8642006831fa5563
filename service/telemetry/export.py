"""What tells of the service: metrics of its process, the GPUs and all processes together; traces where asked for."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path

from service.settings import Settings
from service.telemetry.metrics import Metrics
from service.telemetry.multiprocess import MultiprocessMetrics, keep_writing
from service.telemetry.process_metrics import Process, watch_gpus, watch_loop
from service.telemetry.tallies import ClusterStatistics

ALONE, ENGINE = "service", "engine"  # names of processes; a front end is front_end_1 or another number


@asynccontextmanager
async def exporting(
    settings: Settings,
    metrics: Metrics,
    *,
    process: str = ALONE,
    folder: Path | None = None,
    tallies: ClusterStatistics | None = None,
) -> AsyncIterator[None]:
    """Has the metrics tell of this process while the block runs.

    process: its name. folder: where the engine's socket lies, if there are several; their metrics lie beside it.
    tallies: what a front end counts of each version, which is kept there as well.
    """
    metrics.registry.register(Process(process))
    if process in (ALONE, ENGINE) and settings.device != "cpu":  # the networks run here
        watch_gpus(metrics)
    with ExitStack() as ends:
        ends.callback(asyncio.create_task(watch_loop(metrics.loop_lag)).cancel)
        if folder:
            shares = MultiprocessMetrics(metrics, folder / "metrics", process)
            metrics.scrape = shares.exposition
            writes = [shares.write, *([tallies.share(folder / "tallies", process)] if tallies else [])]
            for write in writes:
                ends.callback(_last, write)
                ends.callback(asyncio.create_task(keep_writing(write)).cancel)
        yield


def _last(write: Callable[[], None]) -> None:
    """What was counted to the end; but not where the folder has gone, with the service's first process."""
    with suppress(OSError):
        write()
