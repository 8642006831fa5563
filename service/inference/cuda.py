"""CUDA sessions: the execution providers for an NVIDIA GPU, their options, and the checks that they work."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import onnxruntime

from models.spec import Precision
from service.inference.device_memory import CudaMemory
from service.inference.io_binding import BoundSession
from service.inference.onnxruntime import CPU, CUDA, DeviceUnavailable, load

TENSORRT = "TensorrtExecutionProvider"

_NO_CUDA = f"STRIATE_DEVICE=cuda, but ONNX Runtime has no working CUDA here: it would run on {CPU}. "


@dataclass(frozen=True, slots=True)
class Gpu:
    """Options for running networks on the GPU.

    engine: "cuda_graphs" records the kernels of each batch size once and replays them, which saves small networks the
    launch time; "tensorrt" compiles the network into `cache`, which takes minutes. memory_bytes: the GPU memory that a
    network may use for its weights and activations; 0 is no limit.
    """

    engine: Literal["cuda", "cuda_graphs", "tensorrt"] = "cuda"
    memory_bytes: int = 0
    cache: Path | None = None


def open_cuda(network: Path | bytes, *, buckets: tuple[int, ...], gpu: Gpu, precision: Precision) -> BoundSession:
    """Loads a network on the GPU. Raises DeviceUnavailable if another provider would run it, InferenceFailed."""
    if CUDA not in onnxruntime.get_available_providers():
        raise DeviceUnavailable(
            _NO_CUDA + "The installed onnxruntime has no CUDA provider: install the extra 'gpu' instead."
        )
    onnxruntime.preload_dlls(directory="")  # the libraries of the nvidia-* wheels, which the loader does not search
    requested = providers(gpu, precision)
    session = load(network, threads=1, providers=[*requested, CPU])
    # get_available_providers() names CUDA even if it cannot work; only the session reveals it (onnxruntime 23372).
    actual = session.get_providers()
    if CUDA not in actual:
        raise DeviceUnavailable(
            _NO_CUDA + "Is there an NVIDIA GPU with its driver, and are the CUDA and cuDNN libraries installed "
            "(the extra 'gpu')?"
        )
    if actual[0] != requested[0][0]:
        raise DeviceUnavailable(
            f"STRIATE_GPU_ENGINE={gpu.engine}, but ONNX Runtime would run on {actual[0]}: are TensorRT's libraries "
            "installed, and does the loader find them?"
        )
    return BoundSession(session, memory=CudaMemory(), buckets=buckets, graphs=gpu.engine == "cuda_graphs")


def providers(gpu: Gpu, precision: Precision) -> list[tuple[str, dict[str, str]]]:
    """Returns the execution providers with their options, in order of preference."""
    half, graphs = precision == "half", gpu.engine == "cuda_graphs"
    cuda = {
        "cudnn_conv_algo_search": "HEURISTIC",  # EXHAUSTIVE searches 0.3 to 1.3 s at every new shape, in a request
        "arena_extend_strategy": "kSameAsRequested",  # shapes vary; doubling would keep up to twice the largest
        "prefer_nhwc": "1" if half else "0",  # the layout of the tensor cores, which float32 does not use
        "use_tf32": "1"
        if half
        else "0",  # 0 disables all tensor cores; TF32 would exceed the tolerance of a float32 package
        "enable_cuda_graph": "1" if graphs else "0",
    }
    if gpu.memory_bytes:
        cuda["gpu_mem_limit"] = str(gpu.memory_bytes)
    if gpu.engine != "tensorrt":
        return [(CUDA, cuda)]
    tensorrt = {
        "trt_fp16_enable": "1" if half else "0",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(gpu.cache),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(gpu.cache),
    }
    return [(TENSORRT, tensorrt), (CUDA, cuda)]
