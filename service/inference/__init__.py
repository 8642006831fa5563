"""ONNX Runtime behind a small protocol, Session: only the files of this package import it."""

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Literal, Protocol

from models.image import Array
from models.spec import Precision
from service.inference.cpu import CpuSession
from service.inference.cuda import Gpu, open_cuda
from service.inference.onnxruntime import CPU, CUDA, DeviceUnavailable, InferenceFailed

__all__ = [
    "CPU",
    "CUDA",
    "Device",
    "DeviceUnavailable",
    "Gpu",
    "InferenceFailed",
    "Session",
    "check_device",
    "open_session",
]  # fmt: skip

Device = Literal["auto", "cpu", "cuda"]
BUCKETS = (1, 2, 4, 8, 16, 32)

# An ONNX graph y = Identity(x), IR 8, opset 17: what it takes to ask a provider whether it works.
_IDENTITY = bytes.fromhex(
    "08083a3b0a100a017812017922084964656e74697479120570726f62655a0f0a"
    "0178120a0a08080112040a020801620f0a0179120a0a08080112040a02080142040a001011"
)


class Session(Protocol):
    """A loaded network.

    lanes: how many callers may run it at once: cores on a CPU; 2 on a GPU, of whom one copies while the other's batch
    runs. buckets: the batch sizes to use, ascending, from 1. On a GPU a batch between two of them costs as much as the
    larger, and the first run of each is slow: run every one before requests do.
    """

    provider: str
    lanes: int
    buckets: tuple[int, ...]

    def run(self, batch: Array, outputs: Sequence[str]) -> dict[str, Array]:
        """batch (N, C, H, W) float32 -> the outputs asked for by name, each (N, ...) float32 and the caller's own.

        For up to `lanes` threads at once. Raises NetworkFailed.
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
    """A network on the device that was asked for or not at all; "auto" takes CUDA where it works.

    threads: of the processor, where the network runs on it. precision: the package's. Raises NoSuchDevice,
    NetworkFailed.
    """
    if device != "cpu":
        try:
            return open_cuda(network, buckets=buckets, gpu=gpu, precision=precision)
        except DeviceUnavailable:
            if device == "cuda":
                raise
    return CpuSession(network, lanes=threads, buckets=buckets)


def check_device(device: Device, gpu: Gpu = Gpu()) -> None:  # noqa: B008  frozen
    """Raises NoSuchDevice unless a session can run on the device.

    It asks in another process: a CUDA context costs hundreds of MB of the GPU until the process that made it ends.
    """
    if device == "cuda":
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as elsewhere:
            reason = elsewhere.submit(_refusal, gpu).result()
        if reason:
            raise DeviceUnavailable(reason)


def _refusal(gpu: Gpu) -> str:
    try:
        open_session(_IDENTITY, device="cuda", gpu=gpu)
    except (DeviceUnavailable, InferenceFailed) as error:
        return str(error)
    return ""
