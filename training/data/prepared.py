"""Examples read and prepared, and the patches that the loop draws from them."""

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
from training.task import Task


class Afresh(Sequence[Array]):
    """An array for each example, made whenever it is asked for and held by nobody."""

    def __init__(self, examples: Sequence[Example], make: Callable[[Example], Array]) -> None:
        self.examples, self.make = examples, make

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: Any) -> Any:
        return self.make(self.examples[index])


class Prepared(Dataset[tuple[Tensor, Tensor]]):
    """Every example as the network sees it. All are read here, so that a bad file stops training before its first step.

    inputs: (channels, H, W) float32 each. truths: as the examples give them. targets: as the task's loss wants them.
    These are held in memory or, where input.read is "always", made afresh whenever one is asked for.
    sha256: of each input and truth. intensity: of each input, what models.preprocess.intensity_figures tells.
    """

    def __init__(self, examples: Sequence[Example], *, config: InputConfig, task: Task, classes: int) -> None:
        self.examples = examples
        self.augment: Compose | None = None
        self.sha256: list[str] = []
        self.intensity: list[dict[str, float]] = []
        inputs, truths = [], []
        for example in tqdm(examples, desc="reading", unit="image", disable=None):
            x, truth = read(example, config)
            self.sha256.append(hashlib.sha256(x.tobytes() + truth.tobytes()).hexdigest())
            self.intensity.append(intensity_figures(x))
            if config.read == "once":
                inputs.append(x)
                truths.append(truth)
        self.inputs: Sequence[Array] = inputs or Afresh(examples, lambda example: read(example, config)[0])
        self.truths: Sequence[Array] = truths or Afresh(examples, lambda example: example.truth())
        targets = Afresh(examples, lambda example: task.target(example.truth(), classes))
        self.targets: Sequence[Array] = [task.target(truth, classes) for truth in truths] or targets

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, draw: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """(index, seed) -> input and target after the random change that the seed determines."""
        index, seed = draw
        image, target = self.inputs[index], self.targets[index]
        if self.augment is None:
            return torch.from_numpy(image), torch.as_tensor(target)
        self.augment.set_random_state(seed=seed)
        if target.ndim == 3:
            changed = self.augment({"image": image, "target": target})
            return changed["image"], changed["target"]
        return self.augment({"image": image})["image"], torch.as_tensor(target)


def read(example: Example, config: InputConfig) -> tuple[Array, Array]:
    """Its input (channels, H, W) float32 and its truth. Raises DataError with the example's name."""
    image, truth = example.image(), example.truth()
    if truth.ndim == 2:
        check_mask(truth, image, name=example.name)
    try:
        return prepare(image, channels=config.channels, size=config.size, steps=config.steps), truth
    except ImageError as error:
        raise DataError(f"{example.name}: {error}") from error


def draws(examples: Sequence[Example], *, epoch: int, seed: int, balance: float) -> list[tuple[int, int]]:
    """The (index, seed) pairs of one epoch: a function of its number alone, so that a resumed run draws the same.

    balance 0: every example once, shuffled. balance b > 0: as many draws, with odds of (examples of the stratum)^-b.
    """
    rng = np.random.default_rng((seed, epoch))
    if balance:
        count = Counter(example.stratum for example in examples)
        odds = np.array([count[example.stratum] ** -balance for example in examples])
        order = rng.choice(len(examples), size=len(examples), p=odds / odds.sum())
    else:
        order = rng.permutation(len(examples))
    return list(zip(order.tolist(), rng.integers(2**32, size=len(examples)).tolist()))
