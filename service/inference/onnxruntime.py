"""ONNX Runtime: loading of networks, session options, and translation of its errors."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

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
_NO_MEMORY = (  # from the C++ library, and from its arena, the last where that has a limit
    "bad allocation", "bad_alloc", "Failed to allocate memory", "is smaller than requested bytes of",
)  # fmt: skip
# An ONNX graph y = Identity(x), IR 8, opset 17, to test whether a provider works.
IDENTITY = bytes.fromhex(
    "08083a3b0a100a017812017922084964656e74697479120570726f62655a0f0a"
    "0178120a0a08080112040a020801620f0a0179120a0a08080112040a02080142040a001011"
)
SHARES_ARENA = "session.use_env_allocators"
_SPIN_US = "300"
_SYSTEM_LIMITS = (errno.EMFILE, errno.ENFILE, errno.ENOSPC)


class DeviceUnavailable(StriateError):
    """The requested device does not work."""

    code = "no_such_device"


class InferenceFailed(StriateError):
    """ONNX Runtime cannot load or run the network."""

    code = "network_failed"


class RunGivenUp(InferenceFailed):
    """The run had not ended at its moment; see Session.run."""


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
    shares_arena: bool = False,
    any_size: bool = False,
) -> Any:
    """Loads an InferenceSession whose runs use `threads` CPU threads each. Raises InferenceFailed.

    is_optimised: True for a graph that `optimise` wrote. shares_arena: see cpu_arena. any_size: of its input.
    """
    options = _options(network, threads=threads)
    if shares_arena:
        options.add_session_config_entry(SHARES_ARENA, "1")
    # For each size its memory would be planned as one piece, and kept beside the pieces of the run that was measured.
    options.enable_mem_pattern = not any_size
    if is_optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        # The fallback would continue with another provider than the requested one.
        return onnxruntime.InferenceSession(_source(network), options, providers=list(providers), enable_fallback=0)
    except ERRORS as error:
        raise translated(error, action="load") from error


class OptimisedGraph(NamedTuple):
    """A graph that has been optimised. any_size: of its input."""

    path: Path
    any_size: bool


def optimise(network: Path | bytes, folder: Path) -> OptimisedGraph:
    """Writes the graph optimised for this CPU, and its weights into a file that sessions map into memory.

    Raises InferenceFailed.
    """
    options = _options(network, threads=1)
    options.optimized_model_filepath = str(folder / "network.onnx")
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", "weights")
    options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "1024")
    try:
        session = onnxruntime.InferenceSession(_source(network), options, providers=[CPU], enable_fallback=0)
    except ERRORS as error:
        raise translated(error, action="load") from error
    _, *shape = session.get_inputs()[0].shape
    return OptimisedGraph(folder / "network.onnx", any_size=not all(isinstance(side, int) for side in shape))


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
