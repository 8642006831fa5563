"""Tests of sessions: devices, requested outputs, threads and errors."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from service.inference import CPU, CUDA, DeviceUnavailable, Gpu, InferenceFailed, check_device, open_session
from tests import tiny

no_gpu = pytest.mark.skipif(CUDA in onnxruntime.get_available_providers(), reason="needs an onnxruntime without CUDA")


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_only_requested_outputs_are_returned(tmp_path: Path, device: str) -> None:
    session = open_session(tiny.brightness(tmp_path).weights, device=device, threads=1)
    batch = np.zeros((3, 1, 8, 8), np.float32)
    assert set(session.run(batch, ["probabilities"])) == {"probabilities"}
    outputs = session.run(batch, ["cam", "probabilities"])
    assert (outputs["cam"].shape, outputs["probabilities"].shape) == ((3, 3, 4, 4), (3, 3))


@no_gpu
def test_auto_uses_the_cpu_without_a_gpu(tmp_path: Path) -> None:
    assert open_session(tiny.brightness(tmp_path).weights, device="auto", threads=1).provider == CPU


@no_gpu
def test_cuda_is_rejected_if_it_does_not_work(tmp_path: Path) -> None:
    with pytest.raises(DeviceUnavailable, match="STRIATE_DEVICE=cuda, but ONNX Runtime has no working CUDA here"):
        open_session(tiny.brightness(tmp_path).weights, device="cuda", threads=1)


@no_gpu
@pytest.mark.slow
def test_the_check_at_startup_rejects_cuda_too() -> None:
    check_device("cpu")
    check_device("auto")
    with pytest.raises(DeviceUnavailable, match="install the extra 'gpu'"):
        check_device("cuda")


@pytest.mark.gpu
@pytest.mark.skipif(CUDA not in onnxruntime.get_available_providers(), reason="onnxruntime without CUDA")
@pytest.mark.parametrize("gpu", [Gpu(), Gpu(engine="cuda_graphs"), Gpu(memory_bytes=2**30)], ids=lambda gpu: gpu.engine)
def test_cuda_outputs_equal_those_of_the_cpu(tmp_path: Path, gpu: Gpu) -> None:
    weights = tiny.brightness(tmp_path).weights
    check_device("cuda", gpu)
    sessions = [open_session(weights, device=device, gpu=gpu) for device in ("cuda", "cpu")]
    assert [session.provider for session in sessions] == [CUDA, CPU]
    for count in (5, 1, 8, 5, 40):  # again the same bucket: a CUDA graph is replayed from the second run on
        batch = np.random.default_rng(count).random((count, 1, 8, 8)).astype(np.float32)
        cuda, cpu = (session.run(batch, ["probabilities", "cam"]) for session in sessions)
        for name in cuda:
            assert cuda[name] == pytest.approx(cpu[name], abs=1e-5)


def test_an_invalid_network_is_reported(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"\x08\x08 not a network")
    with pytest.raises(InferenceFailed, match="cannot load"):
        open_session(tmp_path / "model.onnx", device="cpu", threads=1)


@pytest.mark.parametrize(
    ("shape", "outputs"), [((1, 1, 9, 9), ["probabilities"]), ((1, 8, 8), ["cam"]), ((1, 1, 8, 8), ["masks"])]
)
def test_a_failed_run_is_reported(tmp_path: Path, shape: tuple[int, ...], outputs: list[str]) -> None:
    session = open_session(tiny.brightness(tmp_path).weights, device="cpu", threads=1)
    with pytest.raises(InferenceFailed, match="cannot run"):
        session.run(np.zeros(shape, np.float32), outputs)
