"""ONNX Runtime behind a small seam: this is the only file that imports it."""

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Literal, Protocol

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort

from models.errors import StriateError
from models.image import Array

Device = Literal["auto", "cpu", "cuda"]
CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"

onnxruntime.disable_telemetry_events()

_ORT_ERRORS = (  # they have no common base of their own
    ort.EPFail, ort.EngineError, ort.Fail, ort.InvalidArgument, ort.InvalidGraph, ort.InvalidProtobuf, ort.NoModel,
    ort.NoSuchFile, ort.NotFound, ort.NotImplemented, ort.RuntimeException,
)  # fmt: skip

# An ONNX graph y = Identity(x), IR 8, opset 17: what it takes to ask a provider whether it works.
_IDENTITY = bytes.fromhex(
    "08083a3b0a100a017812017922084964656e74697479120570726f62655a0f0a"
    "0178120a0a08080112040a020801620f0a0179120a0a08080112040a02080142040a001011"
)


class NoSuchDevice(StriateError):
    """The device that was promised does not work."""

    code = "no_such_device"


class NetworkFailed(StriateError):
    """ONNX Runtime cannot load or run the network."""

    code = "network_failed"


class Session(Protocol):
    """A loaded network. batch (N, C, H, W) float32 -> the outputs asked for by name, each (N, ...) float32."""

    provider: str

    def run(self, batch: Array, outputs: Sequence[str]) -> dict[str, Array]: ...


class OnnxSession:
    """A network in ONNX Runtime, on the device that was asked for or not at all."""

    def __init__(self, network: Path | bytes, *, device: Device, threads: int) -> None:
        source = network if isinstance(network, bytes) else str(network)
        try:
            self._session = onnxruntime.InferenceSession(source, _options(threads), providers=_providers(device))
        except _ORT_ERRORS as error:
            raise NetworkFailed(f"ONNX Runtime cannot load the network: {error!s:.300}") from error
        # get_available_providers() names CUDA even where it cannot work; only the session tells (onnxruntime 23372).
        self.provider: str = self._session.get_providers()[0]
        self._input: str = self._session.get_inputs()[0].name
        if device == "cuda" and self.provider != CUDA:
            raise NoSuchDevice(
                "STRIATE_DEVICE=cuda, but ONNX Runtime has no working CUDA here: it would run on "
                f"{self.provider}. {_why()}"
            )

    def run(self, batch: Array, outputs: Sequence[str]) -> dict[str, Array]:
        try:
            return dict(zip(outputs, self._session.run(list(outputs), {self._input: batch})))
        except (*_ORT_ERRORS, ValueError) as error:  # ValueError: it has no such output
            raise NetworkFailed(f"ONNX Runtime cannot run the network: {error!s:.300}") from error


def check_device(device: Device) -> None:
    """Raises NoSuchDevice unless a session can run on the device.

    It asks in another process: a CUDA context costs hundreds of MB of the GPU until the process that made it ends.
    """
    if device == "cuda":
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as elsewhere:
            reason = elsewhere.submit(_refusal, device).result()
        if reason:
            raise NoSuchDevice(reason)


def _refusal(device: Device) -> str:
    try:
        OnnxSession(_IDENTITY, device=device, threads=1)
    except NoSuchDevice as error:
        return str(error)
    return ""


def _why() -> str:
    if CUDA not in onnxruntime.get_available_providers():
        return "The installed onnxruntime has no CUDA provider: install the extra 'gpu' instead of 'cpu'."
    return "Is there an NVIDIA GPU with its driver, and are the CUDA and cuDNN libraries installed (the extra 'gpu')?"


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning threads would take the processor from the decoders between runs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # a failing provider is reported by our own sentence
    return options


def _providers(device: Device) -> list[str | tuple[str, dict[str, str]]]:
    """ "auto" takes CUDA where it works; asking for it where it is not built in would only warn."""
    if device == "cpu" or CUDA not in onnxruntime.get_available_providers():
        return [CPU]
    onnxruntime.preload_dlls(directory="")  # the nvidia-* wheels' libraries, which the loader does not look for
    cuda = {
        "cudnn_conv_algo_search": "HEURISTIC",  # EXHAUSTIVE searches 0.3 to 1.3 s at every new shape, in a request
        "arena_extend_strategy": "kSameAsRequested",  # shapes vary; doubling would keep twice the largest
    }
    return [(CUDA, cuda), CPU]
