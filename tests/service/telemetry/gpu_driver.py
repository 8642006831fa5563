"""Substitute for NVIDIA's driver."""

from types import SimpleNamespace


class Driver:
    """A driver with two GPUs, as nvidia-ml-py presents it; the second does not report its utilisation."""

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
