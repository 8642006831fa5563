"""Tests of the options of the CUDA and TensorRT providers."""

from pathlib import Path

import pytest

from service.inference import CUDA, Gpu
from service.inference.cuda import TENSORRT, providers


@pytest.mark.parametrize(
    ("gpu", "precision", "expected"),
    [
        (Gpu(), "float32", {"prefer_nhwc": "0", "use_tf32": "0", "enable_cuda_graph": "0"}),
        (Gpu(), "half", {"prefer_nhwc": "1", "use_tf32": "1", "cudnn_conv_algo_search": "HEURISTIC"}),
        (Gpu(engine="cuda_graphs"), "half", {"enable_cuda_graph": "1"}),
        (Gpu(memory_bytes=2**31), "half", {"gpu_mem_limit": "2147483648"}),
    ],
)
def test_the_options_of_the_cuda_provider(gpu: Gpu, precision: str, expected: dict[str, str]) -> None:
    ((name, options),) = providers(gpu, precision)
    assert name == CUDA
    assert options | expected == options
    assert ("gpu_mem_limit" in options) == bool(gpu.memory_bytes)


def test_tensorrt_comes_before_cuda_and_keeps_its_engines(tmp_path: Path) -> None:
    (first, options), (second, _) = providers(Gpu(engine="tensorrt", cache=tmp_path), "half")
    assert (first, second) == (TENSORRT, CUDA)
    assert (options["trt_fp16_enable"], options["trt_engine_cache_path"]) == ("1", str(tmp_path))
