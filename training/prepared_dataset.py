"""Prepared examples of a split, and the order in which an epoch draws them."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from monai.transforms import Compose
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from models.errors import ImageError
from models.image import Array
from models.preprocess import intensity_figures, prepare
from training.config import InputConfig
from training.data.examples import DataError, Example, check_mask
from training.tasks.training_task import TrainingTask


class LazyArrays(Sequence[Array]):
    """Sequence of arrays, one for each example, computed at every access and not kept in memory."""

    def __init__(self, examples: Sequence[Example], make: Callable[[Example], Array]) -> None:
        self.examples, self.make = examples, make

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: Any) -> Any:
        return self.make(self.examples[index])


class PreparedDataset(Dataset[tuple[Tensor, Tensor]]):
    """Every example as the network sees it. All are read at once, so a bad file stops training before the first step.

    inputs: (channels, H, W) float32 each. truths: as the loader returns them. targets: as the task's loss needs them.
    They stay in memory unless input.read is "always", which reads them at every access. sha256: of each input with its
    truth. intensity: of each input, models.preprocess.intensity_figures.
    """

    def __init__(self, examples: Sequence[Example], *, config: InputConfig, task: TrainingTask, classes: int) -> None:
        self.examples = examples
        self.augment: Compose | None = None
        self.sha256: list[str] = []
        self.intensity: list[dict[str, float]] = []
        inputs, truths = [], []
        for example in tqdm(examples, desc="reading", unit="image", disable=None):
            x, truth = read_example(example, config)
            self.sha256.append(hashlib.sha256(x.tobytes() + truth.tobytes()).hexdigest())
            self.intensity.append(intensity_figures(x))
            if config.read == "once":
                inputs.append(x)
                truths.append(truth)
        self.inputs: Sequence[Array] = inputs or LazyArrays(examples, lambda example: read_example(example, config)[0])
        self.truths: Sequence[Array] = truths or LazyArrays(examples, lambda example: example.truth())
        targets = LazyArrays(examples, lambda example: task.target(example.truth(), classes))
        self.targets: Sequence[Array] = [task.target(truth, classes) for truth in truths] or targets

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, draw: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Returns input and target of draw (index, seed), augmented as the seed determines."""
        index, seed = draw
        image, target = self.inputs[index], self.targets[index]
        if self.augment is None:
            return torch.from_numpy(image), torch.as_tensor(target)
        self.augment.set_random_state(seed=seed)
        if target.ndim == 3:
            changed = self.augment({"image": image, "target": target})
            return changed["image"], changed["target"]
        return self.augment({"image": image})["image"], torch.as_tensor(target)


def read_example(example: Example, config: InputConfig) -> tuple[Array, Array]:
    """Returns an example's input (channels, H, W) float32 and its truth. Raises DataError with its name."""
    image, truth = example.image(), example.truth()
    if truth.ndim == 2:
        check_mask(truth, image, name=example.name)
    try:
        return prepare(image, channels=config.channels, size=config.size, steps=config.steps), truth
    except ImageError as error:
        raise DataError(f"{example.name}: {error}") from error


def draws(examples: Sequence[Example], *, epoch: int, seed: int, balance: float) -> list[tuple[int, int]]:
    """Returns the (index, seed) pairs of an epoch, which depend on its number only: a resumed run draws the same.

    balance 0: every example once, shuffled. balance b > 0: as many draws, weighted by (examples of the stratum)^-b.
    """
    rng = np.random.default_rng((seed, epoch))
    if balance:
        count = Counter(example.stratum for example in examples)
        odds = np.array([count[example.stratum] ** -balance for example in examples])
        order = rng.choice(len(examples), size=len(examples), p=odds / odds.sum())
    else:
        order = rng.permutation(len(examples))
    return list(zip(order.tolist(), rng.integers(2**32, size=len(examples)).tolist()))
