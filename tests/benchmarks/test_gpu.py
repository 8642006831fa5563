"""benchmarks.gpu on the processor: its code runs to the end, and a wrong answer does not pass."""

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import gpu, gpu_checks
from benchmarks.gpu_checks import Check
from benchmarks.gpu_engine import PROCESSOR, batch, opened, tuned
from benchmarks.gpu_networks import network
from benchmarks.gpu_server import several
from benchmarks.images import speck

pytestmark = pytest.mark.slow  # it exports a network


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_whole_command_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process: one that is killed could not end the servers that it started."""
    monkeypatch.setattr(sys, "argv", ["gpu", "--device", "cpu", "--to", str(tmp_path / "found.md")])
    assert gpu.main() == 0
    text = (tmp_path / "found.md").read_text()
    for title in (
        "Correctness: 16 checks hold",
        "minute, batch 4",
        "minute, batch 1",
        "Around the run",
        "minute-half: the",
    ):
        assert f"## {title}" in text
    assert "at least" not in text  # nothing is judged on a processor


@pytest.mark.parametrize(("factor", "holds"), [(1.0, True), (1.0 + 1e-6, True), (1.1, False), (float("nan"), False)])
def test_a_wrong_answer_fails(factor: float, holds: bool) -> None:
    chosen = network("minute", "float32")
    inputs = [batch(chosen, 3)]
    wanted = [gpu_checks.run_plainly(tuned(chosen, PROCESSOR), x, chosen) for x in inputs]
    wanted = [{name: (output * np.float32(factor)) for name, output in outputs.items()} for outputs in wanted]
    check = gpu_checks.compare("it", chosen, PROCESSOR, "cuda", inputs, wanted)
    assert check.holds is holds
    assert ("FAILS" in str(gpu_checks.section([check]))) is not holds


def test_a_failing_check_is_counted() -> None:
    section = gpu_checks.section([Check("a", "1", True), Check("b", "2", False)])
    assert section.title == "Correctness: 1 of 2 checks fail"


def test_every_image_of_a_batch_is_another() -> None:
    images = batch(network("minute", "half"), 4)
    assert images.shape == (4, 3, 32, 32)
    assert len({image.tobytes() for image in images}) == 4
    alone = opened(network("minute", "half"), PROCESSOR).run(images[2:3], ["probabilities"])["probabilities"]
    together = opened(network("minute", "half"), PROCESSOR).run(images, ["probabilities"])["probabilities"]
    np.testing.assert_allclose(together[2:3], alone, atol=1e-6)


def test_a_request_of_several_images_has_them_all() -> None:
    request = several(80, speck(), 3).request
    assert request.count(speck().data) == 3
    head, body = request.split(b"\r\n\r\n", 1)
    assert f"Content-Length: {len(body)}".encode() in head
