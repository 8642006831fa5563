"""What every session needs of ONNX Runtime: its errors as ours, its options, which providers it has."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort

from models.errors import StriateError

CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"

onnxruntime.disable_telemetry_events()

_ERRORS = (  # they have no common base of their own
    ort.EPFail, ort.EngineError, ort.Fail, ort.InvalidArgument, ort.InvalidGraph, ort.InvalidProtobuf, ort.NoModel,
    ort.NoSuchFile, ort.NotFound, ort.NotImplemented, ort.RuntimeException,
    RuntimeError, ValueError,  # pybind11's: a binding or a shape that does not suit
)  # fmt: skip
_NO_MEMORY = ("bad allocation", "bad_alloc", "Failed to allocate memory")  # its arena's, the C++ library's
_SPIN_US = "300"
_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOSPC)


class DeviceUnavailable(StriateError):
    """The device that was promised does not work."""

    code = "no_such_device"


class InferenceFailed(StriateError):
    """ONNX Runtime cannot load or run the network."""

    code = "network_failed"


class failing:  # noqa: N801  reads as what it does: with failing("run")
    """Raises NetworkFailed MemoryError or OSError in place of ONNX Runtime's errors; what: "load" or "run"."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, _ERRORS) and any(sign in str(error) for sign in _NO_MEMORY):
            raise MemoryError from error
        if isinstance(error, _ERRORS) and (lacks := [n for n in _NO_ROOM if os.strerror(n) in str(error)]):
            raise OSError(lacks[0], os.strerror(lacks[0])) from error
        if isinstance(error, _ERRORS):
            raise InferenceFailed(f"ONNX Runtime cannot {self._what} the network: {error!s:.300}") from error


def load(
    network: Path | bytes,
    *,
    threads: int,
    providers: Sequence[str | tuple[str, dict[str, str]]],
    optimise: bool = True,
) -> Any:
    """An InferenceSession whose runs use `threads` threads of the processor each. Raises NetworkFailed.

    optimise: False for a graph that `optimised` wrote.
    """
    options = _options(network, threads=threads)
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    with failing("load"):
        # Its fallback would go on with another provider than the one that was promised.
        return onnxruntime.InferenceSession(_source(network), options, providers=list(providers), enable_fallback=0)


def optimised(network: Path | bytes, folder: Path) -> Path:
    """Writes the graph as ONNX Runtime optimises it for this processor. Raises NetworkFailed.

    The weights are in a file beside it, which sessions map into memory instead of reading.
    """
    options = _options(network, threads=1)
    options.optimized_model_filepath = str(folder / "network.onnx")
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", "weights")
    options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "1024")
    with failing("load"):
        onnxruntime.InferenceSession(_source(network), options, providers=[CPU], enable_fallback=0)
    return folder / "network.onnx"


def _options(network: Path | bytes, *, threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    if isinstance(network, bytes):  # weights in files apart, which nobody has verified, would be looked for beside us
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # To wake a thread takes longer than it waits between two layers, so it spins; but not between runs, nor for long.
    options.add_session_config_entry("session.intra_op.spin_duration_us", _SPIN_US)
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.log_severity_level = 4  # a failing provider is reported by our own sentence
    return options


def _source(network: Path | bytes) -> str | bytes:
    return network if isinstance(network, bytes) else str(network)
