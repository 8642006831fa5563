"""ONNX Runtime gives what PyTorch gives, at sizes other than the one exported: segmenters, volumes, signals."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from models import package
from models.architectures import ARCHITECTURES
from training import checkpoint, export, train
from training.build import Exported, Normalised
from training.config import InputConfig, Recipe
from training.evaluate import main as evaluate
from training.evaluated_model import model_from_checkpoint, model_from_package
from training.onnx_export import prove, to_onnx

pytestmark = pytest.mark.slow
UNET = {"depth": 2, "base_width": 4}
VALID = UNET | {"convolutions": "valid"}
FREE = InputConfig(channels=1, steps=({"id": "ensure_dtype"},), mean=(0.1,), std=(2.0,))


def exported(name: str, options: dict[str, Any], config: InputConfig = FREE) -> Exported:
    """With random normalisation and weights large enough that a wrong pixel shows."""
    torch.manual_seed(0)
    body = ARCHITECTURES[name](config.channels, 3, **options)
    for module in body.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.running_mean, -0.2, 0.2)  # type: ignore[arg-type]
    return Exported(Normalised(body, config), activation="softmax", temperature=1.2).eval()


@pytest.mark.parametrize(
    ("name", "options", "step", "sides"),
    [
        ("unet", UNET | {"up": "bilinear"}, 4, [(16, 16), (24, 40), (4, 8)]),
        ("unet", UNET | {"norm": "group"}, 4, [(16, 16), (24, 40), (8, 4)]),
        ("unet", VALID | {"up": "bilinear"}, 4, [(64, 64), (48, 80)]),
        ("fcn_unpool", {"convolutions": (1, 2), "base_width": 4}, 4, [(16, 16), (24, 40), (4, 8)]),
        ("unet3d", {"depth": 2, "base_width": 2}, 4, [(8, 8, 8), (12, 4, 16)]),
    ],
    ids=lambda value: str(value) if isinstance(value, str | dict) else "",
)
def test_sizes_are_free_and_answers_are_pytorchs(
    name: str, options: dict[str, Any], step: int, sides: list[tuple[int, ...]]
) -> None:
    network = exported(name, options)
    rng = np.random.default_rng(0)
    tensors = [rng.normal(size=(1, 1, *side)).astype(np.float32) for side in sides]
    prove(network, to_onnx(network, tensors[0], step=step), tensors, tolerance=1e-5)


@pytest.mark.parametrize("name", ["cnn1d", "resnet1d"])
def test_a_signal_is_an_image_one_pixel_high_to_the_graph(name: str) -> None:
    config = InputConfig(kind="signal", channels=4, letters="acgt", size=(1, 57), steps=({"id": "ensure_dtype"},))
    options = {"cnn1d": {"widths": (4, 8)}, "resnet1d": {"width": 4, "stem": "small"}}[name]
    network = exported(name, options, config)
    x = np.random.default_rng(0).normal(size=(1, 4, 1, 57)).astype(np.float32)
    allowed = prove(network, to_onnx(network, x, step=None), [x, -x], tolerance=1e-5)
    assert list(allowed) == ["probabilities", "cam"]
    assert network(torch.from_numpy(x))[1].shape == (1, 3, 1, {"cnn1d": 28, "resnet1d": 8}[name])


def sequences(path: Path) -> Path:
    """100 sequences of 32 bases; in every other one a letter in two is a c."""
    rng = np.random.default_rng(0)
    lines = []
    for number in range(100):
        letters = rng.choice(list("acgt"), 32, p=[0.17, 0.5, 0.17, 0.16] if number % 2 else [0.25] * 4)
        lines.append(f"{'-+'[number % 2]},s{number},{''.join(letters)}")
    path.write_text("\n".join(lines))
    return path


def test_from_sequences_to_a_package_that_answers_as_the_checkpoint(tmp_path: Path) -> None:
    recipe = Recipe.model_validate(
        {
            "name": "letters",
            "task": "multiclass",
            "data": {"loader": "promoters", "path": sequences(tmp_path / "s.data")},
            "split": {"folds": 5},
            "input": {
                "kind": "signal", "channels": 4, "letters": "acgt", "size": (1, 32), "steps": [{"id": "ensure_dtype"}]
            },
            "network": {"name": "cnn1d", "options": {"widths": (8,), "kernel": 3}},
            "training": {"epochs": 8, "batch_size": 16, "learning_rate": 0.02, "average": 0.5, "workers": 0},
            "package": {"name": "letters", "version": "1", "description": "Many c?", "data": "made up"},
        }
    )  # fmt: skip
    train.main(recipe, run=tmp_path / "run", device="cpu")
    subject, _ = model_from_checkpoint(tmp_path / "run" / checkpoint.BEST, device=torch.device("cpu"))
    figures = {f.metric: f.value for f in evaluate(subject, recipe, split="test", out=tmp_path / "run")}
    assert figures["auroc"] > 0.8
    made = export.main(tmp_path / "run" / checkpoint.BEST, root=tmp_path / "models")
    assert package.read(made.folder).spec.input.kind == "signal"
    assert made.spec.cam is not None
    assert (made.spec.cam.size, made.spec.cam.stride, made.spec.receptive_field) == ((1, 32), 1, 3)
    x = np.random.default_rng(1).uniform(size=(4, 1, 32)).astype(np.float32)
    np.testing.assert_allclose(model_from_package(made.folder).probabilities(x), subject.probabilities(x), atol=1e-5)
