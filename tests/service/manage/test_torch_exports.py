"""Tests of networks exported by torch: the imported package reproduces torch's outputs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models import package
from service.inference import open_session
from service.manage.__main__ import main

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


class Classifier(nn.Module):
    """x (N, 3, H, W) -> logits (N, 4), flattened before its head."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.flatten(functional.adaptive_avg_pool2d(self.features(x), 1), 1))


class WithSigmoid(Classifier):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(super().forward(x))


class Segmenter(nn.Module):
    """A U-Net of two levels with kernels of 5 and 7 and a dilated one; x (N, 1, H, W) -> logits (N, 2, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 5, padding=2), nn.Conv2d(4, 8, 7, padding=3)
        self.bottom, self.up = nn.Conv2d(8, 8, 3, padding=2, dilation=2), nn.Conv2d(16, 4, 3, padding=1)
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x).relu()
        second = self.second(functional.max_pool2d(first, 2)).relu()
        bottom = self.bottom(functional.max_pool2d(second, 2)).relu()
        wide = functional.interpolate(bottom, scale_factor=2, mode="bilinear", align_corners=False)
        up = functional.interpolate(self.up(torch.cat([second, wide], 1)).relu(), scale_factor=2, mode="nearest")
        return self.head(torch.cat([first, up], 1))


def exported(network: nn.Module, path: Path, *, channels: int, dynamo: bool) -> None:
    image = torch.rand(1, channels, 64, 64)
    options: dict[str, Any] = {"external_data": False} if dynamo else {}
    torch.onnx.export(network, (image,), path, dynamo=dynamo, verbose=False, **options)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # raised by torch's exporters
@pytest.mark.parametrize("dynamo", [True, False])
@pytest.mark.parametrize(
    ("kind", "channels", "options", "activation", "halo"),
    [
        (Classifier, 3, ("--classes", "a,b,c,d", "--activation", "softmax"), "softmax", 0),
        (WithSigmoid, 3, ("--classes", "a,b,c,d"), "sigmoid", 0),
        (Segmenter, 1, ("--classes", "ground,cell", "--activation", "softmax", "--any-size"), "softmax", 24),
    ],
)
def test_the_import_reproduces_torchs_outputs(
    kind: type[nn.Module], channels: int, options: tuple[str, ...], activation: str, halo: int,
    dynamo: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("STRIATE_MODELS", str(tmp_path))
    torch.manual_seed(0)
    network = kind().eval()
    exported(network, tmp_path / "exported_network.onnx", channels=channels, dynamo=dynamo)
    given = [
        "import",
        str(tmp_path / "exported_network.onnx"),
        "--name",
        "exported_network",
        "--normalise",
        "8bit",
        *options,
    ]
    assert main(given) == 0
    made = package.read(tmp_path / "exported_network/1.0")
    assert (made.spec.activation, made.spec.halo) == (activation, halo)
    images = torch.rand(2, channels, 64, 64)
    with torch.no_grad():
        wanted = network(images) if kind is WithSigmoid else network(images).softmax(1)
    answer = open_session(made.weights, device="cpu").run(images.numpy(), ("probabilities",))["probabilities"]
    assert np.abs(answer - wanted.numpy()).max() < 1e-5
