"""What a process and its GPUs tell of themselves."""

import asyncio
import sys
import time
from ctypes import c_uint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from service.settings import Settings
from service.telemetry.export import ENGINE, exporting
from service.telemetry.metrics import Metrics
from service.telemetry.process_metrics import watch_gpus

pytestmark = pytest.mark.anyio


class Driver:
    """Two GPUs as nvidia-ml-py tells of them; the second does not say how busy it is."""

    class NVMLError(Exception): ...

    def nvmlInit(self) -> None: ...
    def nvmlSystemGetDriverVersion(self) -> str:
        return "580.1"

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetName(self, gpu: int) -> str:
        return f"Test GPU {gpu}"

    def nvmlDeviceGetMemoryInfo(self, gpu: int) -> SimpleNamespace:
        return SimpleNamespace(used=2**30, total=2**34)

    def nvmlDeviceGetUtilizationRates(self, gpu: int) -> SimpleNamespace:
        if gpu:
            raise self.NVMLError("Not Supported")
        return SimpleNamespace(gpu=75, memory=10)


class NoDriver(Driver):
    def nvmlInit(self) -> None:
        raise self.NVMLError("Driver Not Loaded")


def test_gpus_tell_what_they_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Driver())
    metrics = Metrics()
    watch_gpus(metrics)
    told = metrics.exposition().decode()
    for line in (
        'striate_gpu_info{driver="580.1",gpu="0",name="Test GPU 0"} 1.0',
        'striate_gpu_memory_used_bytes{gpu="0"} 1.073741824e+09',
        'striate_gpu_memory_total_bytes{gpu="1"} 1.7179869184e+10',
        'striate_gpu_utilization_ratio{gpu="0"} 0.75',
    ):
        assert line in told
    assert 'striate_gpu_utilization_ratio{gpu="1"}' not in told


class Native:
    """NVIDIA's library as nvidia-ml-py calls it: C functions that fill in what they are given and return a status."""

    def nvmlInitWithFlags(self, _: int) -> int:
        return pynvml.NVML_SUCCESS

    def nvmlSystemGetDriverVersion(self, text: Any, _: c_uint) -> int:
        text.value = b"580.1"
        return pynvml.NVML_SUCCESS

    def nvmlDeviceGetCount_v2(self, count: Any) -> int:
        count._obj.value = 1
        return pynvml.NVML_SUCCESS

    def nvmlDeviceGetHandleByIndex_v2(self, index: c_uint, _: Any) -> int:
        return pynvml.NVML_ERROR_INVALID_ARGUMENT if index.value else pynvml.NVML_SUCCESS

    def nvmlDeviceGetName(self, _: Any, text: Any, __: c_uint) -> int:
        text.value = b"Test GPU"
        return pynvml.NVML_SUCCESS

    def nvmlDeviceGetMemoryInfo(self, _: Any, memory: Any) -> int:
        memory._obj.used, memory._obj.total = 2**30, 2**34
        return pynvml.NVML_SUCCESS

    def nvmlDeviceGetUtilizationRates(self, _: Any, __: Any) -> int:
        return pynvml.NVML_ERROR_NOT_SUPPORTED


def test_nvidias_own_package_is_asked_as_it_wants_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pynvml, "nvmlLib", Native())
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    metrics = Metrics()
    watch_gpus(metrics)
    told = metrics.exposition().decode()
    for line in (
        'striate_gpu_info{driver="580.1",gpu="0",name="Test GPU"} 1.0',
        'striate_gpu_memory_used_bytes{gpu="0"} 1.073741824e+09',
        'striate_gpu_memory_total_bytes{gpu="0"} 1.7179869184e+10',
    ):
        assert line in told
    assert "striate_gpu_utilization_ratio{" not in told  # it said that it does not support this


@pytest.mark.parametrize("library", [None, NoDriver()], ids=["no package", "no driver"])
def test_without_a_gpu_there_is_no_series_of_one(monkeypatch: pytest.MonkeyPatch, library: object) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", library)
    metrics = Metrics()
    watch_gpus(metrics)
    assert "gpu_" not in metrics.exposition().decode().replace("gpu_engine", "")


async def test_a_process_tells_its_memory_its_files_and_how_late_its_loop_is(tmp_path: Path) -> None:
    metrics = Metrics()
    async with exporting(Settings(device="cpu"), metrics):
        before = value(metrics, 'striate_process_open_fds{process="service"}')
        with (tmp_path / "open").open("w"):
            assert value(metrics, 'striate_process_open_fds{process="service"}') == before + 1
        await asyncio.sleep(0)
        time.sleep(0.8)  # holds up the event loop, whose timer is due after half a second
        async with asyncio.timeout(60):
            while not value(metrics, "striate_event_loop_lag_seconds_count"):
                await asyncio.sleep(0.01)
    assert value(metrics, "striate_event_loop_lag_seconds_sum") >= 0.29
    assert value(metrics, 'striate_event_loop_lag_seconds_bucket{le="0.25"}') == 0
    assert value(metrics, 'striate_process_max_fds{process="service"}') > before
    assert 10e6 < value(metrics, 'striate_process_resident_memory_bytes{process="service"}') < 100e9


async def test_the_processes_of_one_folder_tell_of_each_other(tmp_path: Path) -> None:
    front_end, engine = Metrics(), Metrics()
    async with (
        exporting(Settings(device="cpu"), front_end, process="front_end_1", folder=tmp_path),
        exporting(Settings(device="cpu"), engine, process=ENGINE, folder=tmp_path),
    ):
        async with asyncio.timeout(60):
            while b'process="engine"' not in (told := front_end.scrape()):
                await asyncio.sleep(0.05)
    assert b'striate_process_open_fds{process="front_end_1"}' in told


def value(metrics: Metrics, series: str) -> float:
    line = next(line for line in metrics.exposition().decode().splitlines() if line.startswith(f"{series} "))
    return float(line.rpartition(" ")[2])
