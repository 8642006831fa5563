"""Tests of process and GPU metrics."""

import sys
from ctypes import c_uint
from typing import Any

import pynvml
import pytest

from service.telemetry.metrics import Metrics
from service.telemetry.process_metrics import register_gpus
from tests.service.telemetry.gpu_driver import Driver


class NoDriver(Driver):
    def nvmlInit(self) -> None:
        raise self.NVMLError("Driver Not Loaded")


def test_gpus_report_what_they_support(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Driver())
    metrics = Metrics()
    register_gpus(metrics)
    exposition = metrics.exposition().decode()
    for line in (
        'striate_gpu_info{driver="580.1",gpu="0",name="Test GPU 0"} 1.0',
        'striate_gpu_memory_used_bytes{gpu="0"} 1.073741824e+09',
        'striate_gpu_memory_total_bytes{gpu="1"} 1.7179869184e+10',
        'striate_gpu_utilization_ratio{gpu="0"} 0.75',
    ):
        assert line in exposition
    assert 'striate_gpu_utilization_ratio{gpu="1"}' not in exposition


class Native:
    """NVIDIA's library, as nvidia-ml-py calls it: C functions that fill in their arguments and return a status."""

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


def test_nvidias_own_package_is_called_correctly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pynvml, "nvmlLib", Native())
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    metrics = Metrics()
    register_gpus(metrics)
    exposition = metrics.exposition().decode()
    for line in (
        'striate_gpu_info{driver="580.1",gpu="0",name="Test GPU"} 1.0',
        'striate_gpu_memory_used_bytes{gpu="0"} 1.073741824e+09',
        'striate_gpu_memory_total_bytes{gpu="0"} 1.7179869184e+10',
    ):
        assert line in exposition
    assert "striate_gpu_utilization_ratio{" not in exposition  # it is not supported


@pytest.mark.parametrize("library", [None, NoDriver()], ids=["no package", "no driver"])
def test_without_a_gpu_there_are_no_gpu_series(monkeypatch: pytest.MonkeyPatch, library: object) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", library)
    metrics = Metrics()
    register_gpus(metrics)
    assert "gpu_" not in metrics.exposition().decode().replace("gpu_engine", "")
