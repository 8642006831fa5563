"""ONNX Runtime on CPU or GPU, behind the Session protocol."""

import math
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Literal, Protocol

from models.image import Array
from models.spec import Precision
from service.inference.cpu import CpuSession
from service.inference.cuda import Gpu, open_cuda
from service.inference.onnxruntime import CPU, CUDA, IDENTITY, DeviceUnavailable, InferenceFailed, RunGivenUp

__all__ = [
    "CPU",
    "CUDA",
    "Device",
    "DeviceUnavailable",
    "Gpu",
    "InferenceFailed",
    "RunGivenUp",
    "Session",
    "check_device",
    "open_session",
]  # fmt: skip

Device = Literal["auto", "cpu", "cuda"]
BUCKETS = (1, 2, 4, 8, 16, 32)


class Session(Protocol):
    """A loaded network.

    lanes: the number of concurrent runs: cores on a CPU; 2 on a GPU, where one copies while the other runs. buckets:
    the batch sizes to use, ascending, from 1. On a GPU a batch between two sizes costs as much as the larger one, and
    the first run of each is slow: run all of them before the first request.
    """

    provider: str
    lanes: int
    buckets: tuple[int, ...]

    def run(self, batch: Array, outputs: Sequence[str], until: float = math.inf) -> dict[str, Array]:
        """Runs a batch (N, C, H, W) float32; returns new arrays (N, ...) float32 of the named outputs.

        Up to `lanes` threads may call it concurrently. until: a moment of time.monotonic() at which a run on the CPU is
        given up. Raises InferenceFailed, RunGivenUp.
        """


def open_session(
    network: Path | bytes,
    *,
    device: Device = "auto",
    threads: int = 1,
    buckets: tuple[int, ...] = BUCKETS,
    gpu: Gpu = Gpu(),  # noqa: B008  frozen
    precision: Precision = "float32",
) -> Session:
    """Loads a network on the requested device only; "auto" uses CUDA if it works.

    threads: CPU threads, if the network runs on the CPU. precision: the package's. Raises DeviceUnavailable,
    InferenceFailed.
    """
    if device != "cpu":
        try:
            return open_cuda(network, buckets=buckets, gpu=gpu, precision=precision)
        except DeviceUnavailable:
            if device == "cuda":
                raise
    return CpuSession(network, lanes=threads, buckets=buckets)


def check_device(device: Device, gpu: Gpu = Gpu()) -> None:  # noqa: B008  frozen
    """Raises DeviceUnavailable unless a session can run on the device.

    The check runs in another process: a CUDA context occupies hundreds of MB of GPU memory until its process ends.
    """
    if device == "cuda":
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
            reason = process.submit(_cuda_error, gpu).result()
        if reason:
            raise DeviceUnavailable(reason)


def _cuda_error(gpu: Gpu) -> str:
    """Returns why CUDA does not work; empty if it does."""
    try:
        open_session(IDENTITY, device="cuda", gpu=gpu)
    except (DeviceUnavailable, InferenceFailed) as error:
        return str(error)
    return ""
