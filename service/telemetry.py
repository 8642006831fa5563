"""What tells of the service: metrics of its process, the GPUs and all processes together; traces where asked for."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path

from starlette.middleware import Middleware

from service.metrics import Metrics
from service.observe import Observed
from service.settings import BadSettings, Settings
from service.shares import Shares, keep_writing
from service.tallies import Tallies
from service.vitals import Process, watch_gpus, watch_loop

ALONE, ENGINE = "service", "engine"  # names of processes; a front end is front_end_1 or another number


def observers(
    settings: Settings, metrics: Metrics, *, routes: Collection[str], at_end: Callable[[Callable[[], None]], object]
) -> list[Middleware]:
    """What counts, logs and traces each request. at_end: given what is to be called last. Raises BadSettings."""
    counted = Middleware(Observed, metrics=metrics, routes=routes)
    if not settings.traced:
        return [counted]
    try:
        from service.tracing import Traced  # what it imports takes time and memory, and is an extra
    except ImportError as error:
        raise BadSettings("Traces are to be sent to a collector, which needs the extra 'trace'.") from error
    return [counted, Middleware(Traced, endpoint=settings.trace_endpoint, at_end=at_end)]


@asynccontextmanager
async def telling(
    settings: Settings,
    metrics: Metrics,
    *,
    process: str = ALONE,
    folder: Path | None = None,
    tallies: Tallies | None = None,
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
            shares = Shares(metrics, folder / "metrics", process)
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
