"""CPU arena: the memory of all CPU sessions' activations, one for all, with a limit.

An arena of its own would keep for each session what its largest run has taken.
"""

from functools import cache

import numpy as np
import onnxruntime

from service.inference.onnxruntime import CPU, IDENTITY, SHARES_ARENA

_NEXT_POWER_OF_TWO, _DEFAULT = 0, -1
_state = {"limit_bytes": 0}


def limit(nbytes: int) -> None:
    """Makes sessions that are loaded from now on share one arena. The first call in a process decides its limit."""
    if _state["limit_bytes"]:
        return
    info = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    arena = onnxruntime.OrtArenaCfg(nbytes, _NEXT_POWER_OF_TWO, _DEFAULT, _DEFAULT)
    onnxruntime.create_and_register_allocator(info, arena)
    _state["limit_bytes"] = nbytes


def is_shared() -> bool:
    return bool(_state["limit_bytes"])


def release() -> None:
    """Gives back to the system what no run uses: a run of another size may not fit into the pieces that are left."""
    if is_shared():
        options = onnxruntime.RunOptions()
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        _identity().run(None, {"x": np.zeros(1, np.float32)}, options)


@cache
def _identity() -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(SHARES_ARENA, "1")
    return onnxruntime.InferenceSession(IDENTITY, options, providers=[CPU])
