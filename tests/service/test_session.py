"""ONNX Runtime behind its seam: devices that are promised, outputs that are asked for."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from service.session import CPU, CUDA, NetworkFailed, NoSuchDevice, OnnxSession, check_device
from tests import tiny

no_gpu = pytest.mark.skipif(
    CUDA in onnxruntime.get_available_providers(), reason="what is refused without CUDA needs an onnxruntime without it"
)


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_only_the_outputs_asked_for_are_given(tmp_path: Path, device: str) -> None:
    session = OnnxSession(tiny.brightness(tmp_path).weights, device=device, threads=1)
    batch = np.zeros((3, 1, 8, 8), np.float32)
    assert set(session.run(batch, ["probabilities"])) == {"probabilities"}
    outputs = session.run(batch, ["cam", "probabilities"])
    assert (outputs["cam"].shape, outputs["probabilities"].shape) == ((3, 3, 4, 4), (3, 3))


@no_gpu
def test_auto_takes_the_cpu_where_there_is_no_gpu(tmp_path: Path) -> None:
    assert OnnxSession(tiny.brightness(tmp_path).weights, device="auto", threads=1).provider == CPU


@no_gpu
def test_cuda_is_refused_where_it_does_not_work(tmp_path: Path) -> None:
    with pytest.raises(NoSuchDevice, match="STRIATE_DEVICE=cuda, but ONNX Runtime has no working CUDA here"):
        OnnxSession(tiny.brightness(tmp_path).weights, device="cuda", threads=1)


@no_gpu
@pytest.mark.slow
def test_the_check_at_start_says_the_same() -> None:
    check_device("cpu")
    check_device("auto")
    with pytest.raises(NoSuchDevice, match="install the extra 'gpu'"):
        check_device("cuda")


@pytest.mark.gpu
@pytest.mark.skipif(CUDA not in onnxruntime.get_available_providers(), reason="onnxruntime without CUDA")
def test_cuda_answers_as_the_cpu_does(tmp_path: Path) -> None:
    weights = tiny.brightness(tmp_path).weights
    check_device("cuda")
    batch = np.random.default_rng(0).random((5, 1, 8, 8)).astype(np.float32)
    sessions = [OnnxSession(weights, device=device, threads=1) for device in ("cuda", "cpu")]
    assert [session.provider for session in sessions] == [CUDA, CPU]
    cuda, cpu = (session.run(batch, ["probabilities", "cam"]) for session in sessions)
    for name in cuda:
        assert cuda[name] == pytest.approx(cpu[name], abs=1e-3)  # TF32 in the convolutions


def test_a_broken_network_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"\x08\x08 not a network")
    with pytest.raises(NetworkFailed, match="cannot load"):
        OnnxSession(tmp_path / "model.onnx", device="cpu", threads=1)


@pytest.mark.parametrize(
    ("shape", "outputs"), [((1, 1, 9, 9), ["probabilities"]), ((1, 8, 8), ["cam"]), ((1, 1, 8, 8), ["masks"])]
)
def test_a_run_that_fails_is_said_to_have(tmp_path: Path, shape: tuple[int, ...], outputs: list[str]) -> None:
    session = OnnxSession(tiny.brightness(tmp_path).weights, device="cpu", threads=1)
    with pytest.raises(NetworkFailed, match="cannot run"):
        session.run(np.zeros(shape, np.float32), outputs)
