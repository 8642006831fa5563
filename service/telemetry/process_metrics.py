"""Process metrics: memory, open files and event loop lag of a process, and the GPUs."""

import asyncio
import os
import resource
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from prometheus_client import Histogram
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from service.telemetry.metrics import Metrics, gauge_family

_LAG_S = 0.5


class ProcessCollector(Collector):
    """A collector of this process's resources, complete on Linux.

    name: front_end_1 and so on, or engine, if there are several processes; else service.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def collect(self) -> Iterator[Metric]:
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        facts = {
            "process_resident_memory_bytes": ("Resident memory, including shared pages.", _resident_bytes()),
            "process_open_fds": ("Open files and connections.", _open_files()),
            "process_max_fds": ("Limit on open files and connections.", limit),
        }
        for name, (help_text, value) in facts.items():
            if value is not None:
                gauge = gauge_family(name, help_text, "process")
                gauge.add_metric([self._name], value)
                yield gauge


def _resident_bytes() -> int | None:
    with suppress(FileNotFoundError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return None


def _open_files() -> int | None:
    with suppress(FileNotFoundError):
        return len(os.listdir("/proc/self/fd")) - 1  # without the descriptor of the listing itself
    return None


class Nvml(Protocol):
    """NVIDIA's management library, as in the package nvidia-ml-py (pynvml)."""

    NVMLError: type[Exception]

    def nvmlInit(self) -> None: ...  # noqa: N802
    def nvmlSystemGetDriverVersion(self) -> str: ...  # noqa: N802
    def nvmlDeviceGetCount(self) -> int: ...  # noqa: N802
    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any: ...  # noqa: N802
    def nvmlDeviceGetName(self, gpu: Any) -> str: ...  # noqa: N802
    def nvmlDeviceGetMemoryInfo(self, gpu: Any) -> Any: ...  # noqa: N802
    def nvmlDeviceGetUtilizationRates(self, gpu: Any) -> Any: ...  # noqa: N802


class GpuCollector(Collector):
    """A collector of the GPUs that are visible to this process, whatever uses them."""

    def __init__(self, nvml: Nvml) -> None:
        """Raises nvml.NVMLError if there is no driver."""
        nvml.nvmlInit()
        self._nvml = nvml
        self._driver = nvml.nvmlSystemGetDriverVersion()
        self._handles = [nvml.nvmlDeviceGetHandleByIndex(n) for n in range(nvml.nvmlDeviceGetCount())]

    def collect(self) -> Iterator[Metric]:
        nvml = self._nvml
        info = gauge_family("gpu_info", "1 for each GPU.", "gpu name driver")
        used = gauge_family("gpu_memory_used_bytes", "GPU memory in use by all processes.", "gpu")
        total = gauge_family("gpu_memory_total_bytes", "Total GPU memory.", "gpu")
        busy = gauge_family("gpu_utilization_ratio", "Share of recent time in which a kernel was running.", "gpu")
        for n, gpu in enumerate(self._handles):
            with suppress(nvml.NVMLError):  # a GPU that has fallen off the bus, or does not support this
                info.add_metric([str(n), nvml.nvmlDeviceGetName(gpu), self._driver], 1)
                memory = nvml.nvmlDeviceGetMemoryInfo(gpu)
                used.add_metric([str(n)], memory.used)
                total.add_metric([str(n)], memory.total)
                busy.add_metric([str(n)], nvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100)
        yield from (info, used, total, busy)


def register_gpus(metrics: Metrics) -> None:
    """Registers the GPUs, if there are any and the extra gpu is installed."""
    with suppress(ImportError):
        nvml = cast(Nvml, import_module("pynvml"))
        with suppress(nvml.NVMLError):
            metrics.registry.register(GpuCollector(nvml))


async def observe_loop_lag(lag: Histogram) -> None:
    """Observes how late the event loop wakes a sleeping task, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _LAG_S
        await asyncio.sleep(_LAG_S)
        lag.observe(max(0.0, loop.time() - due))
