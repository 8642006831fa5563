"""What a package says of the data behind it: digests, intensity statistics, a few images to prove parity on."""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from training.data.examples import Example
from training.data.prepared import Prepared
from training.data.split import digest


def data_digest(data: Prepared) -> str:
    """sha256 over every prepared training input and its truth."""
    return digest(
        hashlib.sha256(image.tobytes() + truth.tobytes()).hexdigest() for image, truth in zip(data.inputs, data.truths)
    )


def intensity_statistics(data: Prepared) -> dict[str, dict[str, float]]:
    """What 99 % of the training inputs' means and standard deviations lie between."""
    figures = {"mean": [x.mean() for x in data.inputs], "std": [x.std() for x in data.inputs]}
    ranges = {name: np.percentile(values, [0.5, 99.5]) for name, values in figures.items()}
    return {name: {"low": float(low), "high": float(high)} for name, (low, high) in ranges.items()}


def sample_images(examples: Sequence[Example], *, count: int) -> list[Tensor]:
    """`count` images as they are, (H, W, C), evenly spaced in the list."""
    chosen = [examples[i] for i in np.linspace(0, len(examples) - 1, count).astype(int)]
    return [torch.from_numpy(np.ascontiguousarray(example.image())) for example in chosen]
