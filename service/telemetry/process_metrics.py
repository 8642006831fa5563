"""What a process is like at a scrape: its memory, its files, how late its event loop is; and the GPUs."""

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

from service.telemetry.metrics import Metrics, family

_LAG_S = 0.5


class Process(Collector):
    """This process by its name: front_end_1 ... and engine where there are several, else service. Linux tells all."""

    def __init__(self, name: str) -> None:
        self._name = name

    def collect(self) -> Iterator[Metric]:
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        facts = {
            "process_resident_memory_bytes": ("Resident memory, including shared pages.", _resident_bytes()),
            "process_open_fds": ("Open files and connections.", _open_files()),
            "process_max_fds": ("Limit on open files and connections.", limit),
        }
        for name, (about, value) in facts.items():
            if value is not None:
                gauge = family(name, about, "process")
                gauge.add_metric([self._name], value)
                yield gauge


def _resident_bytes() -> int | None:
    with suppress(FileNotFoundError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return None


def _open_files() -> int | None:
    with suppress(FileNotFoundError):
        return len(os.listdir("/proc/self/fd")) - 1  # the listing itself is one
    return None


class Nvml(Protocol):
    """NVIDIA's management library, as the package nvidia-ml-py (pynvml) has it."""

    NVMLError: type[Exception]

    def nvmlInit(self) -> None: ...  # noqa: N802
    def nvmlSystemGetDriverVersion(self) -> str: ...  # noqa: N802
    def nvmlDeviceGetCount(self) -> int: ...  # noqa: N802
    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any: ...  # noqa: N802
    def nvmlDeviceGetName(self, gpu: Any) -> str: ...  # noqa: N802
    def nvmlDeviceGetMemoryInfo(self, gpu: Any) -> Any: ...  # noqa: N802
    def nvmlDeviceGetUtilizationRates(self, gpu: Any) -> Any: ...  # noqa: N802


class Gpus(Collector):
    """The GPUs that the driver shows to this process, whoever uses them."""

    def __init__(self, nvml: Nvml) -> None:
        """Raises nvml.NVMLError where there is no driver."""
        nvml.nvmlInit()
        self._nvml = nvml
        self._driver = nvml.nvmlSystemGetDriverVersion()
        self._handles = [nvml.nvmlDeviceGetHandleByIndex(n) for n in range(nvml.nvmlDeviceGetCount())]

    def collect(self) -> Iterator[Metric]:
        nvml = self._nvml
        info = family("gpu_info", "1 for each GPU.", "gpu name driver")
        used = family("gpu_memory_used_bytes", "GPU memory in use by all processes.", "gpu")
        total = family("gpu_memory_total_bytes", "Total GPU memory.", "gpu")
        busy = family("gpu_utilization_ratio", "Share of recent time in which a kernel was running.", "gpu")
        for n, gpu in enumerate(self._handles):
            with suppress(nvml.NVMLError):  # one that has fallen off the bus, or does not tell this
                info.add_metric([str(n), nvml.nvmlDeviceGetName(gpu), self._driver], 1)
                memory = nvml.nvmlDeviceGetMemoryInfo(gpu)
                used.add_metric([str(n)], memory.used)
                total.add_metric([str(n)], memory.total)
                busy.add_metric([str(n)], nvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100)
        yield from (info, used, total, busy)


def watch_gpus(metrics: Metrics) -> None:
    """Adds the GPUs, where there are any and the extra gpu is installed."""
    with suppress(ImportError):
        nvml = cast(Nvml, import_module("pynvml"))
        with suppress(nvml.NVMLError):
            metrics.registry.register(Gpus(nvml))


async def watch_loop(lag: Histogram) -> None:
    """Observes how late the event loop wakes a sleeper, until it is cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _LAG_S
        await asyncio.sleep(_LAG_S)
        lag.observe(max(0.0, loop.time() - due))
