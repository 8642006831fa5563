"""CONTRIBUTING.md's rows of models and training: each change made in a copy, where the files of its row are enough."""

from pathlib import Path

import pytest

from tests.contributing.changed_copy import ChangedCopy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_preprocessing_step(tmp_path: Path) -> None:
    change = ChangedCopy(tmp_path, row="a preprocessing step")
    change.edit(
        "models/preprocess.py",
        (
            "AnyStep = Annotated[",
            '''class Invert(Step):
    """`top` minus each value."""

    id: Literal["invert"] = "invert"
    top: float

    def __call__(self, pixels: Array) -> Array:  # (H, W, C) any dtype -> (H, W, C) float32
        return (self.top - pixels).astype(np.float32)


AnyStep = Annotated[Invert | ''',
        ),
    )
    told = change.run("""
import numpy as np
from models.preprocess import prepare
from training.config import InputConfig
config = InputConfig(channels=1, steps=[{"id": "invert", "top": 255.0}])
print(prepare(np.full((2, 2, 1), 55, np.uint8), channels=1, size=None, steps=config.steps).ravel().tolist())
""")
    assert told == "[200.0, 200.0, 200.0, 200.0]\n"
    assert change.code == 1


def test_an_architecture(tmp_path: Path) -> None:
    change = ChangedCopy(tmp_path, row="an architecture")
    change.add(
        "models/architectures/perceptron.py",
        '''"""A linear layer on the mean of each channel."""

from torch import Tensor, nn


class Perceptron(nn.Module):
    """x (N, in_channels, H, W) float -> logits (N, num_classes)."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(in_channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.mean(dim=(2, 3)))  # (N, num_classes)
''',
    )
    change.edit(
        "models/architectures/__init__.py",
        (
            "from models.architectures.resnet ",
            "from models.architectures.perceptron import Perceptron\nfrom models.architectures.resnet ",
        ),
        ('    "resnet18": ', '    "perceptron": Perceptron,\n    "resnet18": '),
    )
    change.edit(
        "docs/architectures.md",
        ("| `resnet18` |", "| `perceptron` | means of the channels | 8 (3, 2) | |\n| `resnet18` |"),
    )
    told = change.run("""
import torch
from models.architectures import ARCHITECTURES
print(tuple(ARCHITECTURES["perceptron"](3, 2)(torch.zeros(4, 3, 5, 5)).shape))
""")
    assert told == "(4, 2)\n"
    change.passes("tests/models/architectures/test_documented.py", only="perceptron or one_row")
    assert change.code == 2


def test_a_data_sets_layout(tmp_path: Path) -> None:
    change = ChangedCopy(tmp_path, row="a data set's layout")
    change.add(
        "training/data/ramps.py",
        '''"""Ramps of grey, made here."""

from typing import Literal

import numpy as np

from training.data.examples import DataSet, Example, Loader, constant


class Ramps(Loader):
    """Two classes: images that grow brighter to the right, or to the left."""

    loader: Literal["ramps"]
    count: int

    def load(self) -> DataSet:
        ramp = np.tile(np.arange(8, dtype=np.uint8), (8, 1))[..., None]  # (8, 8, 1)
        return DataSet(
            tuple(
                Example(
                    name=f"ramp/{i}", group=f"ramp/{i}", stratum=str(i % 2), split=None,
                    image=constant(ramp[:, :: 1 - i % 2 * 2]), truth=constant(np.int64(i % 2)),
                )
                for i in range(self.count)
            ),
            ("right", "left"),
        )
''',
    )
    change.edit(
        "training/data/__init__.py",
        (
            "from training.data.sklearn_digits ",
            "from training.data.ramps import Ramps\nfrom training.data.sklearn_digits ",
        ),
        ("    | Promoters\n", "    | Promoters\n    | Ramps\n"),
    )
    told = change.run("""
import tomllib
from pathlib import Path
from training.config import Recipe
recipe = tomllib.loads(Path("training/recipes/digits.toml").read_text()) | {"data": {"loader": "ramps", "count": 6}}
data = Recipe(name="ramps", **recipe).dataset()
print(len(data.examples), data.classes)
""")
    assert told == "6 ('right', 'left')\n"
    assert change.code == 2


def test_a_metric(tmp_path: Path) -> None:
    change = ChangedCopy(tmp_path, row="a metric")
    change.edit(
        "training/evaluation_metrics.py",
        (
            "CLASS_SCORES: dict",
            '''def error_rate(probabilities: Array, truth: Array) -> float:
    """Returns the fraction of examples whose most probable class is not true; (n, C), class indices (n,)."""
    return 1 - accuracy(probabilities, truth)


CLASS_SCORES: dict''',
        ),
        ('"f1": macro_f1}', '"f1": macro_f1, "error_rate": error_rate}'),
    )
    told = change.run("""
import numpy as np
from training.tasks import TASKS
from training.tasks.training_task import Decision
probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.4, 0.6]])
scores = TASKS["multiclass"].scores(probabilities, np.array([0, 1, 1, 1]), Decision(thresholds=(0.5, 0.5)))
print(scores["error_rate"](np.arange(4)), scores["error_rate"](np.array([2])))
""")
    assert told == "0.25 1.0\n"
    assert change.code == 1


def test_a_loss(tmp_path: Path) -> None:
    change = ChangedCopy(tmp_path, row="a loss")
    change.edit(
        "training/losses.py",
        (
            "    if config.focal_gamma:",
            "    if config.focal_gamma == 7:\n        return Brier()\n    if config.focal_gamma:",
        ),
        (
            "class Focal(nn.Module):",
            '''class Brier(nn.Module):
    """Squared distance of the probabilities from the truth (Brier 1950). logits (N, C), target (N,) int64."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return (logits.softmax(dim=1) - F.one_hot(target, logits.shape[1])).square().sum(dim=1).mean()


class Focal(nn.Module):''',
        ),
    )
    told = change.run("""
import numpy as np, torch
from training.config import TrainingConfig
from training.tasks import TASKS
config = TrainingConfig(epochs=1, batch_size=1, learning_rate=0.1, focal_gamma=7)
loss = TASKS["multiclass"].loss(config, [np.int64(0), np.int64(1)])
print(loss(torch.zeros(1, 2), torch.tensor([1])).item())
""")
    assert told == "0.5\n"
    assert change.code == 1
