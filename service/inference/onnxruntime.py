"""ONNX Runtime: loading of networks, session options, and translation of its errors."""

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

ERRORS = (  # they have no common base class
    ort.EPFail, ort.EngineError, ort.Fail, ort.InvalidArgument, ort.InvalidGraph, ort.InvalidProtobuf, ort.NoModel,
    ort.NoSuchFile, ort.NotFound, ort.NotImplemented, ort.RuntimeException,
    RuntimeError, ValueError,  # from pybind11: an invalid binding or shape
)  # fmt: skip
_NO_MEMORY = ("bad allocation", "bad_alloc", "Failed to allocate memory")  # from its arena and the C++ library
_SPIN_US = "300"
_SYSTEM_LIMITS = (errno.EMFILE, errno.ENFILE, errno.ENOSPC)


class DeviceUnavailable(StriateError):
    """The requested device does not work."""

    code = "no_such_device"


class InferenceFailed(StriateError):
    """ONNX Runtime cannot load or run the network."""

    code = "network_failed"


def translated(error: Exception, *, action: str) -> Exception:
    """Returns InferenceFailed, MemoryError or OSError in place of one of ERRORS. action: "load" or "run"."""
    text = str(error)
    if any(each in text for each in _NO_MEMORY):
        return MemoryError()
    for number in _SYSTEM_LIMITS:
        if os.strerror(number) in text:
            return OSError(number, os.strerror(number))
    return InferenceFailed(f"ONNX Runtime cannot {action} the network: {text:.300}")


def load(
    network: Path | bytes,
    *,
    threads: int,
    providers: Sequence[str | tuple[str, dict[str, str]]],
    is_optimised: bool = False,
) -> Any:
    """Loads an InferenceSession whose runs use `threads` CPU threads each. Raises InferenceFailed.

    is_optimised: True for a graph that `optimise` wrote.
    """
    options = _options(network, threads=threads)
    if is_optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        # The fallback would continue with another provider than the requested one.
        return onnxruntime.InferenceSession(_source(network), options, providers=list(providers), enable_fallback=0)
    except ERRORS as error:
        raise translated(error, action="load") from error


def optimise(network: Path | bytes, folder: Path) -> Path:
    """Writes the graph optimised for this CPU, and its weights into a file that sessions map into memory.

    Raises InferenceFailed.
    """
    options = _options(network, threads=1)
    options.optimized_model_filepath = str(folder / "network.onnx")
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", "weights")
    options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "1024")
    try:
        onnxruntime.InferenceSession(_source(network), options, providers=[CPU], enable_fallback=0)
    except ERRORS as error:
        raise translated(error, action="load") from error
    return folder / "network.onnx"


def _options(network: Path | bytes, *, threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    if isinstance(network, bytes):  # unverified external weights would be searched in the working directory
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads spin between layers, since waking one takes longer than the pause; they do not spin between runs.
    options.add_session_config_entry("session.intra_op.spin_duration_us", _SPIN_US)
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.log_severity_level = 4  # this service reports a failing provider itself
    return options


def _source(network: Path | bytes) -> str | bytes:
    return network if isinstance(network, bytes) else str(network)
