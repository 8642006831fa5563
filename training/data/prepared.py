"""Examples read, prepared and held in memory, and the patches that the loop draws from them."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from monai.transforms import Compose
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from models.errors import ImageError
from models.image import Array
from models.preprocess import prepare
from training.config import InputConfig
from training.data.examples import DataError, Example
from training.tasks import Task


class Prepared(Dataset[tuple[Tensor, Tensor]]):
    """Every example as the network sees it. All are read here, so that a bad file stops training before its first step.

    inputs: (channels, H, W) float32 each. truths: as the examples give them. targets: as the task's loss wants them.
    """

    def __init__(self, examples: Sequence[Example], *, config: InputConfig, task: Task, classes: int) -> None:
        self.examples = examples
        self.inputs: list[Array] = []
        self.truths: list[Array] = []
        for example in tqdm(examples, desc="reading", unit="image", disable=None):
            image, truth = example.image(), example.truth()
            if truth.ndim == 2 and truth.shape != image.shape[:2]:
                raise DataError(f"{example.name}: the mask is {truth.shape}, its image {image.shape[:2]} (H, W).")
            try:
                tensor = prepare(image, channels=config.channels, size=config.size, steps=config.steps)
            except ImageError as error:
                raise DataError(f"{example.name}: {error}") from error
            self.inputs.append(tensor)
            self.truths.append(truth)
        self.targets = [task.target(truth, classes) for truth in self.truths]
        self.augment: Compose | None = None

    def __len__(self) -> int:
        return len(self.inputs)

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
